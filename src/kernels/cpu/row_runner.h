// For the test and the benchmark of all rows: a prepared kernel with memory of its own, fenced and poisoned.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <unordered_map>

#include "kernels/kernel.h"
#include "kernels/reference/reference.h"

namespace fovea::core::rows {

class WeightsMap final : public PackedWeights {
 public:
  std::shared_ptr<void> find(const std::string& key) override {
    auto it = packed_.find(key);
    return it == packed_.end() ? nullptr : it->second;
  }
  std::shared_ptr<void> put(const std::string& key, std::shared_ptr<void> packed, int64_t) override {
    return packed_.try_emplace(key, std::move(packed)).first->second;
  }
  size_t size() const { return packed_.size(); }

 private:
  std::unordered_map<std::string, std::shared_ptr<void>> packed_;
};

// Memory between two fences; every byte is 0xff (a NaN, as a float) until it is written.
class Fenced {
 public:
  explicit Fenced(int64_t bytes)
      : bytes_(bytes), memory_(static_cast<size_t>(bytes) + 2 * kFence + 64, std::byte{0xff}) {
    auto address = reinterpret_cast<uintptr_t>(memory_.data()) + kFence;
    offset_ = (address + 63) / 64 * 64 - reinterpret_cast<uintptr_t>(memory_.data());
  }
  std::byte* data() { return memory_.data() + offset_; }
  const std::byte* data() const { return memory_.data() + offset_; }
  int64_t bytes() const { return bytes_; }
  void poison() { std::memset(data(), 0xff, static_cast<size_t>(bytes_)); }
  bool intact() const {
    auto untouched = [](std::byte b) { return b == std::byte{0xff}; };
    return std::all_of(memory_.begin(), memory_.begin() + static_cast<std::ptrdiff_t>(offset_), untouched) &&
           std::all_of(memory_.begin() + static_cast<std::ptrdiff_t>(offset_) + bytes_, memory_.end(), untouched);
  }

 private:
  static constexpr size_t kFence = 256;
  int64_t bytes_;
  size_t offset_ = 0;
  std::vector<std::byte> memory_;
};

inline PrepareContext describe(const Group& group, const FormatChoice& choice, int threads, PackedWeights& weights) {
  auto desc = [](const Value* v, const Format& format) {
    TensorDesc d;
    if (v)
      d.dtype = format.dtype(v->dtype), d.shape = *constant_shape(v->shape), d.layout = format.layout,
      d.constant = v->constant;
    return d;
  };
  PrepareContext c{group, {}, {}, threads, &weights};
  for (size_t i = 0; i < group.inputs.size(); ++i) c.inputs.push_back(desc(group.inputs[i], choice.inputs[i]));
  for (size_t i = 0; i < group.outputs.size(); ++i) c.outputs.push_back(desc(group.outputs[i], choice.outputs[i]));
  for (const Node* n : group.nodes) c.results.push_back(constant_shape(n->output()->shape).value_or(Dims()));
  return c;
}

using Values = std::map<const Value*, TensorPtr>;

// A node of a case by its reference kernel.
inline Status run_reference(const Node& node, Values& values) {
  std::vector<TensorRef> in, out;
  std::vector<std::shared_ptr<Tensor>> results;
  for (const Value* v : node.inputs)
    in.push_back(!v ? TensorRef{} : TensorRef::of(v->constant ? *v->constant : *values.at(v)));
  for (const Value* v : node.outputs) {
    FOVEA_TRY_SET(auto t, Tensor::allocate(v->dtype, *constant_shape(v->shape)));
    out.push_back(TensorRef::of(*t));
    results.push_back(t);
  }
  Scratch scratch;
  KernelContext c;
  c.inputs = in, c.outputs = out, c.attributes = node.attrs.get(), c.scratch = &scratch, c.threads = hardware_threads();
  FOVEA_TRY(find_reference(node.op->name)(c));
  for (size_t i = 0; i < results.size(); ++i) values[node.outputs[i]] = results[i];
  return {};
}

// How two results differ, where both are finite.
struct Comparison {
  double rms_error = 0, rms = 0, largest = 0;
  int64_t wrong_kind = 0;  // finite where the reference is not, or the other way round
};
// `own`: what an element may be wrong by as a part of its own size, which does not count.
inline Comparison compare(const Tensor& got, const Tensor& want, double own = 0) {
  Comparison r;
  auto a = got.as<float>(), b = want.as<float>();
  double finite = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(a[i]) != std::isfinite(b[i])) ++r.wrong_kind;
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
    const double e = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    r.rms_error += e * e, r.rms += static_cast<double>(b[i]) * b[i], ++finite;
    r.largest = std::max(r.largest, e - own * std::abs(static_cast<double>(b[i])));
  }
  r.rms_error = std::sqrt(r.rms_error / std::max(finite, 1.0)), r.rms = std::sqrt(r.rms / std::max(finite, 1.0));
  return r;
}

// Owns the memory of one kernel's arguments. Inputs are given plain and lie in the kernel's layouts.
class Runner {
 public:
  Runner(const PrepareContext& context, const PreparedKernel& kernel, bool residual_in_place)
      : context_(context),
        kernel_(kernel),
        in_place_(residual_in_place && context.group.residual >= 0),
        workspace_(kernel.workspace_bytes()) {
    for (const TensorDesc& d : context.inputs) inputs_.push_back(memory_for(d));
    for (const TensorDesc& d : context.outputs) outputs_.push_back(memory_for(d));
  }

  Status set_inputs(const std::vector<TensorPtr>& plain) {
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (inputs_[i] && !context_.inputs[i].constant)
        FOVEA_TRY(reformat(TensorRef::of(*plain[i]), Layout::kPlain, ref(context_.inputs[i], *inputs_[i]),
                           context_.inputs[i].layout, 1));
    return {};
  }

  Status run() {
    std::vector<TensorRef> in, out;
    for (size_t i = 0; i < inputs_.size(); ++i)
      in.push_back(!inputs_[i]                   ? TensorRef{}
                   : context_.inputs[i].constant ? TensorRef::of(*context_.inputs[i].constant)
                                                 : ref(context_.inputs[i], *inputs_[i]));
    for (size_t i = 0; i < outputs_.size(); ++i)
      out.push_back(outputs_[i] ? ref(context_.outputs[i], *outputs_[i]) : TensorRef{});
    if (in_place_) {
      auto r = static_cast<size_t>(context_.group.residual);
      std::memcpy(outputs_[0]->data(), inputs_[r]->data(), static_cast<size_t>(inputs_[r]->bytes()));
      in[r].data = out[0].data;
    }
    scratch_.reset();
    KernelContext c;
    c.inputs = in, c.outputs = out, c.attributes = context_.group.nodes[0]->attrs.get(), c.threads = context_.threads;
    c.scratch = &scratch_, c.workspace = workspace_.data();
    return kernel_.run(c);
  }

  void poison() {
    for (auto& m : outputs_)
      if (m) m->poison();
    workspace_.poison();
  }
  bool intact() const {
    auto good = [](const std::unique_ptr<Fenced>& m) { return !m || m->intact(); };
    return workspace_.intact() && std::ranges::all_of(inputs_, good) && std::ranges::all_of(outputs_, good);
  }
  // Output i, plain.
  Result<TensorPtr> output(size_t i) {
    const TensorDesc& d = context_.outputs[i];
    FOVEA_TRY_SET(auto t, Tensor::allocate(d.dtype, d.shape));
    FOVEA_TRY(reformat(ref(d, *outputs_[i]), d.layout, TensorRef::of(*t), Layout::kPlain, 1));
    return TensorPtr(t);
  }
  // Are the lanes of output i that no channel fills zero?
  bool padding_is_zero(size_t i) const {
    const TensorDesc& d = context_.outputs[i];
    const int64_t block = d.layout == Layout::kC16 ? 16 : d.layout == Layout::kC8 ? 8 : 0;
    if (block == 0 || d.shape[1] % block == 0) return true;
    const int64_t pixels = d.shape[2] * d.shape[3], blocks = (d.shape[1] + block - 1) / block;
    const auto* p = reinterpret_cast<const float*>(outputs_[i]->data());
    for (int64_t n = 0; n < d.shape[0]; ++n)
      for (int64_t k = 0; k < pixels; ++k)
        for (int64_t c = d.shape[1] % block; c < block; ++c)
          if (p[((n + 1) * blocks - 1) * pixels * block + k * block + c] != 0) return false;
    return true;
  }

 private:
  static std::unique_ptr<Fenced> memory_for(const TensorDesc& d) {
    if (d.dtype == DType::kUndefined) return nullptr;
    return std::make_unique<Fenced>(d.constant ? 0
                                               : dtype_bytes(d.dtype, storage_elements(d.layout, d.shape)).value_or(0));
  }
  static TensorRef ref(const TensorDesc& d, Fenced& memory) {
    return TensorRef::dense_of(d.dtype, d.shape, memory.data());
  }

  const PrepareContext& context_;
  const PreparedKernel& kernel_;
  bool in_place_;
  Fenced workspace_;
  Scratch scratch_;
  std::vector<std::unique_ptr<Fenced>> inputs_, outputs_;
};

}  // namespace fovea::core::rows
