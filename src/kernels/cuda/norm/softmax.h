// Softmax along one axis on the device; float32 inside and out.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fovea::core::cuda {

struct SoftmaxArgs {
  int64_t outer = 0, length = 0, inner = 0;  // [outer, length, inner], softmax along `length`
  bool half = false;                         // the input is float16
};

cudaError_t softmax(const SoftmaxArgs& args, const void* x, float* y, cudaStream_t stream);

}  // namespace fovea::core::cuda
