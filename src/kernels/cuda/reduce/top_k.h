// TopK along one axis on the device, float32 and int32.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace fovea::core::cuda {

struct TopKArgs {
  int64_t outer = 0, length = 0, inner = 0;  // [outer, length, inner], along `length` < 2^31; outer * inner < 2^31
  int64_t k = 0;
  bool largest = true;
  bool integers = false;  // int32
};

int64_t top_k_workspace(const TopKArgs& args);
// Either output may be null; the workspace is aligned to 16.
cudaError_t top_k(const TopKArgs& args, const void* x, void* values, int64_t* indices, std::byte* workspace,
                  cudaStream_t stream);

}  // namespace fovea::core::cuda
