// Copies that are more than strides: with a border, and by a list of places.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fovea::core::cuda {

// to[i] = from[i - before] where that lies inside, otherwise `value`, whose bits are an element's. Strides in elements.
struct PadArguments {
  const void* from = nullptr;
  void* to = nullptr;
  int element_bytes = 4;  // 1, 2, 4 or 8
  int rank = 0;
  int64_t shape[8] = {};                   // of the output
  int64_t inside[8] = {}, before[8] = {};  // sizes of the input; negative: cropped
  int64_t from_strides[8] = {}, to_strides[8] = {};
  uint64_t value = 0;
};
cudaError_t pad_tensor(const PadArguments& args, cudaStream_t stream);

// to[i] = from[i], but that along dimension `axis` the input's index is index[i].
struct GatherArguments {
  const void* from = nullptr;
  void* to = nullptr;
  const int32_t* index = nullptr;  // on the device, each inside the input
  int element_bytes = 4;
  int rank = 0, axis = 0;
  int64_t shape[8] = {};
  int64_t from_strides[8] = {}, to_strides[8] = {};
};
cudaError_t gather_tensor(const GatherArguments& args, cudaStream_t stream);

}  // namespace fovea::core::cuda
