// For tests of the device's rows: a prepared kernel with memory of its own, fenced and poisoned.
#pragma once

#include "kernels/cpu/row_runner.h"
#include "kernels/cuda/common.h"

namespace fovea::core {

struct Opened {
  std::shared_ptr<Device> device;
  std::string why;
};
inline const Opened& gpu() {
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
      : device_(device), context_(context), kernel_(&kernel) {}
  // The same kernel, prepared another time.
  void use(const PreparedKernel& kernel) { kernel_ = &kernel; }

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
    FOVEA_TRY_SET(workspace_, DeviceFenced::make(device_, kernel_->workspace_bytes()));
    FOVEA_TRY_SET(sizes_, DeviceFenced::make(device_, 64 * 8));
    return {};
  }

  // From now on output 0 begins `lead` bytes in front of input 0, and both lie in one piece of memory.
  Status overlap(int64_t lead) {
    const int64_t in = bytes_of(context_.inputs[0]), out = bytes_of(context_.outputs[0]);
    lead = (lead + 63) / 64 * 64;
    FOVEA_TRY_SET(outputs_[0], DeviceFenced::make(device_, std::max(out, lead + in)));
    refs_out_[0].data = outputs_[0]->data(), refs_in_[0].data = outputs_[0]->data() + lead;
    return {};
  }

  // Captured or not.
  Status run(bool captured) {
    for (auto& m : outputs_)
      if (m) FOVEA_TRY(m->poison());
    if (inputs_[0] && refs_in_[0].data != inputs_[0]->data())
      FOVEA_TRY(stream_->copy(refs_in_[0].data, inputs_[0]->data(), bytes_of(context_.inputs[0])));
    FOVEA_TRY(workspace_.poison());
    if (const int r = context_.group.residual; r >= 0) {
      const auto i = static_cast<size_t>(r);
      FOVEA_TRY(stream_->copy(refs_out_[0].data, refs_in_[i].data, bytes_of(context_.inputs[i])));
    }
    if (!captured) {
      FOVEA_TRY(call());
      return stream_->synchronize();
    }
    FOVEA_TRY_SET(const auto graph, record(1));
    FOVEA_TRY(stream_->launch(*graph));
    return stream_->synchronize();
  }

  // So many runs, captured. Nobody brings the residual anew between them: what is added to it piles up.
  Result<std::unique_ptr<DeviceGraph>> record(int runs) {
    FOVEA_TRY(stream_->begin_capture());
    Status s;
    for (int i = 0; i < runs && s.ok(); ++i) s = call();
    auto graph = stream_->end_capture();
    FOVEA_TRY(std::move(s));
    return graph;
  }
  DeviceStream& stream() { return *stream_; }

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
  Status call() {
    std::vector<TensorRef> in = refs_in_, out = refs_out_;
    if (const int r = context_.group.residual; r >= 0) in[static_cast<size_t>(r)].data = out[0].data;
    KernelContext c;
    Scratch scratch;
    c.inputs = in, c.outputs = out, c.attributes = context_.group.nodes[0]->attrs.get(), c.threads = 1;
    c.scratch = &scratch, c.workspace = workspace_.data(), c.stream = stream_.get();
    c.sizes = reinterpret_cast<int64_t*>(sizes_.data());
    return kernel_->run(c);
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
  const PreparedKernel* kernel_;
  FormatChoice formats_;
  std::unique_ptr<DeviceStream> stream_;
  std::vector<std::optional<DeviceFenced>> inputs_, outputs_;
  std::vector<TensorRef> refs_in_, refs_out_;
  DeviceFenced workspace_, sizes_;
};

}  // namespace fovea::core
