// For tests of folds: a reduction or a softmax at random, with element-wise operators in front of it and behind it.
#pragma once

#include <limits>
#include <random>

#include "ir/infer.h"
#include "kernels/cpu/row_runner.h"
#include "ops/cast.h"
#include "ops/op.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace fovea::core::test {

// Numbers are multiples of 1/4 and small: what is in front of a fold rounds nothing, and float16 has them all.
class FoldCase {
 public:
  explicit FoldCase(uint32_t seed) : rng_(seed), half_(seed % 3 == 0), special_(seed % 4 == 1) {}

  Status make() {
    pick_shape();
    const DType type = pick({0, 0, 0, 0, 1, 2, 3}) == 0 ? DType::kFloat32 : any_type();
    const int64_t front = pick({0, 1, 1, 2, 3}), behind = pick({0, 0, 1, 2, 3});
    const bool grows = front > 0 && pick({0, 1});
    DType first = front > 0 && pick({0, 1}) ? any_type() : type;
    large_ = type != DType::kFloat32 && first == type;
    last_ = input(first, grows ? repeated() : shape_);
    if (grows) FOVEA_TRY(meet(operand(first, shape_)));
    if (first != type) FOVEA_TRY(cast(type));
    for (int64_t i = 1; i < front; ++i) FOVEA_TRY(step());
    FOVEA_TRY(fold());
    folded_ = last_;
    for (int64_t i = 0; i < behind; ++i) FOVEA_TRY(step());
    graph_.outputs.push_back(last_);
    graph_.output_names.push_back("y");
    for (const auto& n : graph_.nodes()) FOVEA_TRY(rows::run_reference(*n, values_));
    if (half_)
      for (const auto& v : graph_.values())
        if (v->dtype == DType::kFloat32 && !v->constant) v->storage.type = DType::kFloat16;
    return {};
  }

  const Graph& graph() const { return graph_; }
  const Node& anchor() const { return *graph_.nodes().front(); }
  const Node& fold_node() const { return *folded_->producer; }
  const rows::Values& values() const { return values_; }

  // Is this what the reference computes, but for rounding? Sums are compared by the size of what is added up.
  bool agrees(const Tensor& got, const Tensor& want, bool half) const {
    if (want.dtype() != DType::kFloat32) return got.same_as(want);
    double scale = 0;
    if (const Tensor& sums = *values_.at(folded_); sums.dtype() == DType::kFloat32)
      for (float x : sums.as<float>())
        if (std::isfinite(x)) scale = std::max(scale, std::abs(static_cast<double>(x)));
    const auto a = got.as<float>(), b = want.as<float>();
    for (size_t i = 0; i < b.size(); ++i) {
      if (std::isnan(a[i]) && std::isnan(b[i])) continue;
      if (a[i] == b[i]) continue;
      const double error = std::abs(static_cast<double>(a[i]) - b[i]), size = std::abs(static_cast<double>(b[i]));
      if (!(error <= std::ldexp(scale + size, -19) + (half ? std::ldexp(size, -11) + 1e-7 : 1e-9))) return false;
    }
    return a.size() == b.size();
  }

 private:
  int64_t pick(std::initializer_list<int64_t> from) { return from.begin()[rng_() % from.size()]; }
  std::string_view name(std::initializer_list<std::string_view> from) { return from.begin()[rng_() % from.size()]; }
  DType any_type() { return name_types()[rng_() % 4]; }
  static std::array<DType, 4> name_types() { return {DType::kFloat32, DType::kInt64, DType::kInt32, DType::kBool}; }

  // Pictures, long and short lines along memory and across it, nothing at all.
  void pick_shape() {
    switch (pick({0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7})) {
      case 0: shape_ = {pick({1, 2, 3}), pick({1, 3, 8, 16, 21}), pick({1, 4, 7, 9}), pick({1, 5, 7, 8})}; break;
      case 1: shape_ = {pick({1, 5, 33}), pick({1, 21, 81, 100, 128, 1025})}; break;
      case 2: shape_ = {pick({1, 2}), pick({4099, 9000, 12288})}; break;
      case 3: shape_ = {pick({40, 300, 5000}), pick({1, 3, 12})}; break;
      case 4: shape_ = {pick({70000, 32768, 1})}; break;
      case 5: shape_ = {pick({3, 9}), pick({2, 6}), pick({1, 4}), pick({3, 8}), pick({2, 5})}; break;
      case 6: shape_ = {pick({2, 6}), pick({0, 3}), pick({0, 4})}; break;
      case 7: shape_ = {pick({20, 257}), pick({64, 100})}; break;
    }
  }
  Dims repeated() {
    Dims dims(shape_.begin() + static_cast<std::ptrdiff_t>(rng_() % (shape_.size() + 1)), shape_.end());
    for (int64_t& d : dims) d = pick({0, 1}) ? 1 : d;
    return dims;
  }

  TensorPtr tensor(DType type, const Dims& dims) {
    auto t = Tensor::allocate(type, dims);
    if (!t.ok()) return nullptr;
    constexpr float kInf = std::numeric_limits<float>::infinity();
    dispatch_dtype(type, [&](auto tag) {
      using T = typename decltype(tag)::type;
      auto* p = reinterpret_cast<T*>((*t)->mutable_data());
      for (int64_t i = 0; i < (*t)->count(); ++i) {
        const int n = static_cast<int>(rng_() % 33) - 16;
        if constexpr (std::is_same_v<T, bool>) p[i] = n > 0;
        else if constexpr (std::is_same_v<T, float>) {
          p[i] = static_cast<float>(n) / 4;
          if (special_ && rng_() % 40 == 0) p[i] = rng_() % 3 == 0 ? std::nanf("") : rng_() % 3 ? -kInf : kInf;
        } else if constexpr (std::is_integral_v<T>) {
          p[i] = large_ && rng_() % 50 == 0 ? std::numeric_limits<T>::max() : static_cast<T>(n);
        }
      }
    });
    return *t;
  }
  Value* input(DType type, const Dims& dims) {
    Value* v = graph_.add_input(fmt::format("x{}", graph_.inputs.size()), type, Shape(dims.begin(), dims.end()));
    values_[v] = tensor(type, dims);
    return v;
  }
  Value* operand(DType type, const Dims& dims) {
    const int64_t kind = pick({0, 0, 1, 2});
    if (kind == 0 || dims == shape_) return input(type, dims);
    return graph_.add_constant(tensor(type, kind == 1 ? dims : Dims()));
  }
  Value* operand(DType type) { return operand(type, pick({0, 1}) ? shape_ : repeated()); }

  Status add(std::string_view op, std::vector<Value*> inputs, AttrsPtr attrs = nullptr) {
    Node* n = graph_.add_node(find_op(op), std::move(attrs), std::move(inputs), 1);
    FOVEA_TRY(infer_node(graph_, *n));
    last_ = n->output();
    return {};
  }
  Status cast(DType to) {
    CastAttrs attrs;
    attrs.to = to;
    return add("Cast", {last_}, make_attrs(attrs));
  }
  Status meet(Value* other) {
    if (pick({0, 1, 2}) == 0) {
      Value* condition = operand(DType::kBool);
      return rng_() % 2 ? add("Where", {condition, last_, other}) : add("Where", {condition, other, last_});
    }
    const std::string_view op =
        last_->dtype == DType::kBool ? name({"And", "Or", "Xor"}) : name({"Add", "Sub", "Max", "Min"});
    return rng_() % 2 ? add(op, {last_, other}) : add(op, {other, last_});
  }
  // What changes no number by more than it had been wrong.
  Status step() {
    if (rng_() % 2) return meet(operand(last_->dtype));
    if (last_->dtype == DType::kBool) return add("Not", {last_});
    if (rng_() % 4) return add(name({"Relu", "Neg", "Abs"}), {last_});
    return add("Clip", {last_, rng_() % 2 ? graph_.add_constant(tensor(last_->dtype, {})) : nullptr, nullptr});
  }

  Status fold() {
    const auto rank = static_cast<int64_t>(shape_.size());
    const DType type = last_->dtype;
    if (type == DType::kFloat32 && pick({0, 0, 1})) {
      SoftmaxAttrs attrs{static_cast<int64_t>(rng_() % static_cast<size_t>(rank))};
      return add(pick({0, 0, 1}) ? "LogSoftmax" : "Softmax", {last_}, make_attrs(attrs));
    }
    ReduceAttrs attrs;
    attrs.keepdims = rng_() % 2;
    const uint32_t mask = rng_();
    for (int64_t d = 0; d < rank; ++d)
      if (mask >> d & 1) attrs.axes.push_back(d);
    int64_t length = 1;
    for (int64_t d : attrs.axes) length *= shape_[static_cast<size_t>(d)];
    std::string_view op = name({"ReduceMax", "ReduceMin"});
    if (type == DType::kFloat32)
      op = name({"ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceLogSum",
                 "ReduceLogSumExp", "ReduceProd", "ReduceMax", "ReduceMin"});
    else if (type != DType::kBool)
      op = name({"ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceProd", "ReduceMax", "ReduceMin",
                 length > 0 ? "ReduceMean" : "ReduceSum"});
    FOVEA_TRY(add(op, {last_}, make_attrs(attrs)));
    shape_ = *constant_shape(last_->shape);
    return {};
  }

  std::mt19937 rng_;
  Graph graph_{"fold"};
  rows::Values values_;
  Dims shape_;
  bool half_ = false, special_ = false, large_ = false;
  Value *last_ = nullptr, *folded_ = nullptr;
};

}  // namespace fovea::core::test
