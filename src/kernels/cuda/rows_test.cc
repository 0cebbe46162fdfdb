// Every row of the table against the reference kernels, on the cases of the CPU's rows and more of its own: every
// format that a row offers, in float32 and where it may store float16. Without a GPU it skips, saying why.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/row_cases.h"
#include "kernels/cpu/row_runner.h"
#include "kernels/cuda/common.h"

namespace fovea::core {
namespace {

using rows::Case;
using rows::compare;
using rows::Comparison;
using rows::run_reference;
using rows::Values;

constexpr uint32_t kSeed = 20260;
constexpr std::string_view kCudaCases[] = {
#define FOVEA_CASE(line) line,
#include "kernels/cpu/row_cases.inc"
#if __has_include("kernels/cuda/row_cases.inc")
#include "kernels/cuda/row_cases.inc"
#endif
#if __has_include("kernels/cuda/row_cases_layout.inc")
#include "kernels/cuda/row_cases_layout.inc"
#endif
#undef FOVEA_CASE
};

struct Opened {
  std::shared_ptr<Device> device;
  std::string why;
};
const Opened& gpu() {
  static const Opened opened = [] {
    auto d = cuda::CudaDevice::open(0);
    return d.ok() ? Opened{*d, ""} : Opened{nullptr, d.status().message()};
  }();
  return opened;
}

// Memory of the device between two fences of 0xff bytes, 0xff itself until it is written.
class DeviceFenced {
 public:
  static Result<DeviceFenced> make(Device& device, int64_t bytes) {
    DeviceFenced m;
    m.bytes_ = bytes;
    FOVEA_TRY_SET(m.memory_, device.allocate(bytes + 2 * kFence, DeviceMemory::Kind::kDevice));
    FOVEA_TRY(m.poison());
    return m;
  }
  std::byte* data() const { return memory_.data() + kFence; }
  Status poison() {
    FOVEA_CUDA(cudaMemset(memory_.data(), 0xff, static_cast<size_t>(memory_.bytes())));
    return cuda::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // kernels run on streams of their own
  }
  bool intact() const {
    std::vector<uint8_t> fences(2 * kFence);
    if (cudaMemcpy(fences.data(), memory_.data(), kFence, cudaMemcpyDeviceToHost) != cudaSuccess ||
        cudaMemcpy(fences.data() + kFence, data() + bytes_, kFence, cudaMemcpyDeviceToHost) != cudaSuccess)
      return false;
    return std::ranges::all_of(fences, [](uint8_t b) { return b == 0xff; });
  }

 private:
  static constexpr int64_t kFence = 512;
  DeviceMemory memory_;
  int64_t bytes_ = 0;
};

class CudaRunner {
 public:
  CudaRunner(Device& device, const PrepareContext& context, const PreparedKernel& kernel)
      : device_(device), context_(context), kernel_(kernel) {}

  Status set_up(const std::vector<TensorPtr>& plain, const FormatChoice& formats) {
    formats_ = formats;
    FOVEA_TRY_SET(stream_, device_.create_stream());
    for (size_t i = 0; i < context_.inputs.size(); ++i) {
      const TensorDesc& d = context_.inputs[i];
      inputs_.emplace_back();
      refs_in_.emplace_back();
      if (d.dtype == DType::kUndefined || formats.inputs[i].place == Place::kHost) continue;
      FOVEA_TRY_SET(inputs_.back(), memory_for(d));
      refs_in_.back() = TensorRef::dense_of(d.dtype, d.shape, inputs_.back()->data());
      FOVEA_TRY(to_device(*(d.constant ? d.constant : plain[i]), formats.inputs[i], refs_in_.back()));
    }
    for (const TensorDesc& d : context_.outputs) {
      outputs_.emplace_back();
      refs_out_.emplace_back();
      if (d.dtype == DType::kUndefined) continue;
      FOVEA_TRY_SET(outputs_.back(), memory_for(d));
      refs_out_.back() = TensorRef::dense_of(d.dtype, d.shape, outputs_.back()->data());
    }
    FOVEA_TRY_SET(workspace_, DeviceFenced::make(device_, kernel_.workspace_bytes()));
    FOVEA_TRY_SET(sizes_, DeviceFenced::make(device_, 64 * 8));
    return {};
  }

  // Captured or not.
  Status run(bool captured) {
    for (auto& m : outputs_)
      if (m) FOVEA_TRY(m->poison());
    FOVEA_TRY(workspace_.poison());
    std::vector<TensorRef> in = refs_in_, out = refs_out_;
    if (const int r = context_.group.residual; r >= 0) {
      const auto i = static_cast<size_t>(r);
      FOVEA_TRY(stream_->copy(out[0].data, in[i].data, bytes_of(context_.inputs[i])));
      in[i].data = out[0].data;
    }
    KernelContext c;
    Scratch scratch;
    c.inputs = in, c.outputs = out, c.attributes = context_.group.nodes[0]->attrs.get(), c.threads = 1;
    c.scratch = &scratch, c.workspace = workspace_.data(), c.stream = stream_.get();
    c.sizes = reinterpret_cast<int64_t*>(sizes_.data());
    if (!captured) {
      FOVEA_TRY(kernel_.run(c));
      return stream_->synchronize();
    }
    FOVEA_TRY(stream_->begin_capture());
    Status s = kernel_.run(c);
    auto graph = stream_->end_capture();
    FOVEA_TRY(std::move(s));
    if (!graph.ok()) return graph.status();
    FOVEA_TRY(stream_->launch(**graph));
    return stream_->synchronize();
  }

  bool intact() const {
    auto good = [](const std::optional<DeviceFenced>& m) { return !m || m->intact(); };
    return workspace_.intact() && sizes_.intact() && std::ranges::all_of(inputs_, good) &&
           std::ranges::all_of(outputs_, good);
  }

  std::vector<int64_t> sizes(size_t count) const {
    std::vector<int64_t> host(count);
    if (count) (void)cudaMemcpy(host.data(), sizes_.data(), count * 8, cudaMemcpyDeviceToHost);
    return host;
  }

  // The bytes as they lie, and the elements plain and in the value's own type.
  std::vector<std::byte> raw(size_t i) const {
    std::vector<std::byte> host(static_cast<size_t>(bytes_of(context_.outputs[i])));
    (void)cudaMemcpy(host.data(), outputs_[i]->data(), host.size(), cudaMemcpyDeviceToHost);
    return host;
  }
  Result<TensorPtr> output(size_t i, DType own, std::vector<int64_t> shape) {
    FOVEA_TRY_SET(auto t, Tensor::allocate(own, shape));
    FOVEA_TRY_SET(DeviceFenced plain, DeviceFenced::make(device_, static_cast<int64_t>(t->bytes().size())));
    TensorRef from = refs_out_[i];
    from.set_shape(shape);
    FOVEA_TRY(device_.reformat(*stream_, from, formats_.outputs[i], TensorRef::dense_of(own, shape, plain.data()),
                               cuda::kPlain));
    FOVEA_TRY(stream_->synchronize());
    FOVEA_TRY(stream_->copy(t->mutable_data(), plain.data(), static_cast<int64_t>(t->bytes().size())));
    FOVEA_TRY(stream_->synchronize());
    return TensorPtr(t);
  }
  bool padding_is_zero(size_t i) const {
    const TensorDesc& d = context_.outputs[i];
    if (d.layout != Layout::kNhwc8 || d.shape[1] % 8 == 0) return true;
    const std::vector<std::byte> bytes = raw(i);
    const int64_t c8 = (d.shape[1] + 7) / 8 * 8, pixels = d.shape[0] * d.shape[2] * d.shape[3];
    const int64_t size = dtype_bits(d.dtype) / 8;
    for (int64_t p = 0; p < pixels; ++p)
      for (int64_t b = (p * c8 + d.shape[1]) * size; b < (p + 1) * c8 * size; ++b)
        if (bytes[static_cast<size_t>(b)] != std::byte{0}) return false;
    return true;
  }

 private:
  static int64_t bytes_of(const TensorDesc& d) {
    return dtype_bytes(d.dtype, storage_elements(d.layout, d.shape)).value_or(0);
  }
  Result<DeviceFenced> memory_for(const TensorDesc& d) { return DeviceFenced::make(device_, bytes_of(d)); }
  Status to_device(const Tensor& from, const Format& format, const TensorRef& to) {
    FOVEA_TRY_SET(DeviceFenced plain, DeviceFenced::make(device_, static_cast<int64_t>(from.bytes().size())));
    FOVEA_TRY(stream_->copy(plain.data(), from.bytes().data(), static_cast<int64_t>(from.bytes().size())));
    FOVEA_TRY(device_.reformat(*stream_, TensorRef::dense_of(from.dtype(), from.dims(), plain.data()), cuda::kPlain, to,
                               format));
    return stream_->synchronize();
  }

  Device& device_;
  const PrepareContext& context_;
  const PreparedKernel& kernel_;
  FormatChoice formats_;
  std::unique_ptr<DeviceStream> stream_;
  std::vector<std::optional<DeviceFenced>> inputs_, outputs_;
  std::vector<TensorRef> refs_in_, refs_out_;
  DeviceFenced workspace_, sizes_;
};

bool uses_half(const FormatChoice& f) {
  auto is_half = [](const Format& x) { return x.storage == DType::kFloat16; };
  return std::ranges::any_of(f.inputs, is_half) || std::ranges::any_of(f.outputs, is_half);
}

class CudaRows : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    if (!gpu().device) GTEST_SKIP() << gpu().why;
    auto parsed = rows::parse_case(GetParam(), kSeed);
    ASSERT_TRUE(parsed.ok()) << GetParam() << ": " << parsed.status().message();
    case_ = *std::move(parsed);
    std::mt19937 rng(kSeed + 1);
    for (const Value* v : case_.graph->inputs)
      values_[v] = rows::detail::random_constant(rng, *constant_shape(v->shape), 1);
    for (const auto& node : case_.graph->nodes()) {
      Status s = run_reference(*node, values_);
      ASSERT_TRUE(s.ok()) << GetParam() << ": " << s.message();
    }
  }

  void try_rows() {
    for (const KernelRow* row : gpu().device->kernels()) {
      if (row->op != case_.anchor->op->name) continue;
      for (const Group& group : row->match(*case_.graph, *case_.anchor)) {
        if (row->refuse && !row->refuse(group).empty()) continue;
        for (const FormatChoice& formats : formats_of(*row, group)) try_formats(*row, group, formats);
      }
    }
  }

  void try_formats(const KernelRow& row, const Group& group, const FormatChoice& formats) {
    std::string what = fmt::format("{}: {} ({} nodes,", GetParam(), row.name, group.nodes.size());
    for (const Format& f : formats.inputs) what += " " + to_string(f);
    SCOPED_TRACE(fmt::format("{} -> {})", what, to_string(formats.outputs[0])));
    ASSERT_EQ(formats.inputs.size(), group.inputs.size());
    ASSERT_EQ(formats.outputs.size(), group.outputs.size());
    rows::WeightsMap weights;
    PrepareContext context = rows::describe(group, formats, 1, weights);
    context.device = gpu().device.get();
    auto kernel = row.prepare(context);
    if (!kernel.ok()) {
      EXPECT_EQ(kernel.status().kind(), ErrorKind::kUnsupported) << kernel.status().message();
      RecordProperty("refused", kernel.status().message());
      return;
    }
    const size_t packed = weights.size();
    ASSERT_TRUE(row.prepare(context).ok());
    EXPECT_EQ(weights.size(), packed) << "packed weights are made twice";
    CudaRunner runner(*gpu().device, context, **kernel);
    std::vector<TensorPtr> inputs;
    for (const Value* v : group.inputs) inputs.push_back(v && !v->constant ? values_.at(v) : nullptr);
    Status s = runner.set_up(inputs, formats);
    ASSERT_TRUE(s.ok()) << s.message();
    std::vector<std::vector<std::byte>> first;
    for (bool captured : {false, true}) {
      s = runner.run(captured);
      ASSERT_TRUE(s.ok()) << s.message();
      EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
      for (size_t i = 0; i < group.outputs.size(); ++i) {
        if (!group.outputs[i]) continue;
        if (!captured) {
          expect_near(group, formats, runner, i);
          EXPECT_TRUE(runner.padding_is_zero(i));
          first.push_back(true_bytes(group, runner, i));
        } else {
          EXPECT_EQ(true_bytes(group, runner, i), first[i]) << "another result in the second run";
        }
      }
    }
  }

  // The sizes that data decide are where the reference has them.
  std::vector<int64_t> true_shape(const Group& group, CudaRunner& runner, size_t i) {
    const Value* v = group.outputs[i];
    std::vector<int64_t> shape(values_.at(v)->dims().begin(), values_.at(v)->dims().end());
    size_t at = 0;
    for (const Node* n : group.nodes)
      for (const SizeDefinition& d : n->sizes) {
        const int64_t size = runner.sizes(at + 1)[at];
        ++at;
        if (n->outputs[static_cast<size_t>(d.output)] == v) {
          EXPECT_EQ(size, shape[static_cast<size_t>(d.dim)]) << "size " << d.symbol->name;
        }
      }
    return shape;
  }
  // What readers may look at: all of it where no size depends on data.
  std::vector<std::byte> true_bytes(const Group& group, CudaRunner& runner, size_t i) {
    std::vector<std::byte> bytes = runner.raw(i);
    const Value* v = group.outputs[i];
    if (!constant_shape(v->shape)) bytes.resize(std::min(bytes.size(), values_.at(v)->bytes().size()));
    return bytes;
  }

  void expect_near(const Group& group, const FormatChoice& formats, CudaRunner& runner, size_t i) {
    const Tensor& want = *values_.at(group.outputs[i]);
    auto got = runner.output(i, want.dtype(), true_shape(group, runner, i));
    ASSERT_TRUE(got.ok()) << got.status().message();
    if (want.dtype() != DType::kFloat32) {
      EXPECT_TRUE((*got)->same_as(want));
      return;
    }
    // An exponential makes the error of its argument, whose size here is at most about 8, a part of the result; so
    // does a division by a small number.
    const double own = std::ldexp(uses_half(formats) ? 16 : 8, uses_half(formats) ? -12 : -24);
    const Comparison c = compare(**got, want, own);
    EXPECT_EQ(c.wrong_kind, 0);
    const Tensor& sums = *values_.at(case_.anchor->output());
    const double size = sums.dtype() == DType::kFloat32 ? std::max(compare(sums, sums).rms, c.rms) : c.rms;
    // float32: additions round partial sums no larger than the result, like a random walk. float16: every factor and
    // the result round once, by 2^-12 of its size at random, which a sum of independent terms keeps.
    double bound = std::ldexp(size, -24) * std::sqrt(static_cast<double>(case_.sum_length) + 8) + 4e-7;
    if (uses_half(formats)) bound += 3 * std::ldexp(size, -12) * std::sqrt(3.0);
    EXPECT_LE(c.rms_error, bound) << "of " << c.rms;
    EXPECT_LE(c.largest, bound * (uses_half(formats) ? 12 : 8)) << "of " << c.rms;
  }

  Case case_;
  Values values_;
};

TEST_P(CudaRows, AgreeWithTheReference) { try_rows(); }

TEST_P(CudaRows, AgreeWithTheReferenceInHalfPrecision) {
  for (const auto& v : case_.graph->values())
    if (v->dtype == DType::kFloat32 && !v->constant) v->storage.type = DType::kFloat16;
  try_rows();
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaRows, testing::ValuesIn(kCudaCases), [](const auto& i) {
  return fmt::format("{}_{}", i.index, std::string(i.param.substr(0, i.param.find(' '))));
});

}  // namespace
}  // namespace fovea::core
