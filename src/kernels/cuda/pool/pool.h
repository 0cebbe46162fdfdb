#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fovea::core::cuda {

struct PoolArgs {
  const void* from = nullptr;
  void* to = nullptr;
  bool half = false;     // float16 storage, else float32
  bool maximum = true;   // else the average
  bool nhwc8 = true;     // else plain
  bool count_padding = false;
  int n = 0, c = 0;      // c: channels as stored (a multiple of 8 where nhwc8)
  int h = 0, w = 0, p = 0, q = 0;  // input, output
  int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, dilation_h = 1, dilation_w = 1;
  int pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;
};

cudaError_t pool(const PoolArgs& args, cudaStream_t stream);

}  // namespace fovea::core::cuda
