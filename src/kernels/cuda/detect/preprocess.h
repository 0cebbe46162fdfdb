// A picture to a network's input; ops/preprocess.cc says what is computed.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fovea::core::cuda {

// For each output pixel of an axis the input pixels it is made of: count[i] from first[i] on, with weight[i * width].
struct TapsView {
  const int32_t* first = nullptr;
  const int32_t* count = nullptr;
  const float* weight = nullptr;
  int width = 1;
};

struct PreprocessArguments {
  const uint8_t* picture = nullptr;
  int64_t row = 0, column = 0, colour = 0;  // strides in bytes
  TapsView across, down;
  int resized_h = 0, resized_w = 0, input_h = 0, input_w = 0, pad_y = 0, pad_x = 0;
  int channels = 3;  // 1: gray
  int red = 0;       // which channel red becomes
  float scale = 1, mean[3] = {}, deviation[3] = {}, padding[3] = {};
  void* out = nullptr;
  bool half = false;
  bool packed = false;  // eight channels a pixel, one behind the other, the rest zero
  int64_t channel_stride = 0, y_stride = 0, x_stride = 0;  // in elements, otherwise
};
cudaError_t preprocess(const PreprocessArguments& args, cudaStream_t stream);

}  // namespace fovea::core::cuda
