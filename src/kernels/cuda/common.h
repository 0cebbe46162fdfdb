// What the rows of CUDA share.
#pragma once

#include "backends/cuda/cuda.h"
#include "kernels/cuda/table.h"
#include "kernels/kernel.h"

namespace fovea::core::cuda {

inline Stream& stream_of(const KernelContext& c) { return *static_cast<Stream*>(c.stream); }
inline cudaStream_t handle_of(const KernelContext& c) { return stream_of(c).handle(); }
inline CudaDevice& device_of(const PrepareContext& c) { return *static_cast<CudaDevice*>(c.device); }
// After a launch: what it said.
inline Status launched(std::string_view kernel) { return check(cudaGetLastError(), kernel); }

// Device formats, short.
inline constexpr Format kPlain{Layout::kPlain, Place::kDevice};
inline constexpr Format kNhwc8{Layout::kNhwc8, Place::kDevice};
// What prepare() reads only.
inline constexpr Format kHost{};

// May the value be stored as float16?
bool may_be_half(const Value& value);
inline Format half(Format f) { return {f.layout, f.place, DType::kFloat16}; }

// Bytes of the host in the device's memory, kept with the packed weights under `key`.
Result<std::shared_ptr<void>> upload(const PrepareContext& context, const std::string& key, const void* data,
                                     int64_t bytes);

}  // namespace fovea::core::cuda
