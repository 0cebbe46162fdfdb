#include "kernels/cuda/common.h"

namespace fovea::core::cuda {

bool may_be_half(const Value& value) { return value.dtype == DType::kFloat32 && value.storage.type == DType::kFloat16; }

Result<std::shared_ptr<void>> upload(const PrepareContext& context, const std::string& key, const void* data,
                                     int64_t bytes) {
  if (auto known = context.weights->find(key)) return known;
  CudaDevice& device = device_of(context);
  FOVEA_TRY_SET(DeviceMemory memory, device.allocate(bytes, DeviceMemory::Kind::kDevice));
  FOVEA_CUDA(cudaMemcpy(memory.data(), data, static_cast<size_t>(bytes), cudaMemcpyHostToDevice));
  // From pageable memory it may return early, and no other stream waits for it.
  FOVEA_CUDA(cudaStreamSynchronize(cudaStreamLegacy));
  auto owner = std::make_shared<DeviceMemory>(std::move(memory));
  std::shared_ptr<void> shared(owner, owner->data());
  return context.weights->put(key, std::move(shared), bytes);
}

}  // namespace fovea::core::cuda
