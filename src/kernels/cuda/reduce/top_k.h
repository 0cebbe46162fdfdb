// TopK along one axis on the device, float32.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fovea::core::cuda {

struct TopKArgs {
  int64_t outer = 0, length = 0, inner = 0;  // [outer, length, inner], along `length` < 2^31; outer * inner < 2^31
  int64_t k = 0;
  bool largest = true;
};

// Either output may be null.
cudaError_t top_k(const TopKArgs& args, const float* x, float* values, int64_t* indices, cudaStream_t stream);

}  // namespace fovea::core::cuda
