// DecodeBoxes on the device, float32: what ops/decode_boxes.cc describes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fovea::core::cuda {

enum class Anchors : uint8_t { kCentre, kYxCentre, kXyxy };  // as AnchorForm

struct DecodeArgs {
  int64_t images = 0, boxes = 0, classes = 1;  // images * boxes * classes < 2^31
  bool deltas_yx = false, output_yx = false;
  Anchors anchors = Anchors::kCentre;
  bool own_anchors = false;  // each image its own
  float variances[4] = {1, 1, 1, 1}, scales[4] = {1, 1, 1, 1};
  float max_log_size = 0;  // 0: none
  bool clip = false;
  bool size_of_image = false;  // the input size is [B,2]
  float clip_height = 1, clip_width = 1;
};

// `size` may be null.
cudaError_t decode_boxes(const DecodeArgs& args, const float* deltas, const float* anchors, const float* size,
                         float* out, cudaStream_t stream);

}  // namespace fovea::core::cuda
