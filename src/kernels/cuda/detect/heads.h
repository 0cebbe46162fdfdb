// Heads of a detector, read where their convolutions left them: each level's output NHWC, channels padded to a multiple
// of 8, instead of one joined tensor [image, box, number].
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/detect/decode_boxes.h"
#include "kernels/cuda/detect/nms.h"
#include "kernels/cuda/device/divide.cuh"

namespace fovea::core::cuda {

inline constexpr int kMostPieces = 16;
inline constexpr uint32_t kHeadThreads = 128;

// One level. Number k of box (pixel, anchor) lies at
//   image * image_stride + pixel * pitch + offset + anchor * anchor_stride + k * number_stride,
// and is the box first_box + pixel * box_pixel + anchor * box_anchor of the image.
struct HeadPiece {
  const void* data = nullptr;  // aligned to 16 bytes
  int64_t image_stride = 0;
  uint32_t pixels = 0, pitch = 0, anchors = 0;
  uint32_t offset = 0, anchor_stride = 0, number_stride = 0;
  uint32_t first_box = 0, box_pixel = 0, box_anchor = 0;
  // A tile: so many pixels of one image, of each so many 16-byte vectors from element `begin` on.
  uint32_t tile_pixels = 0, begin = 0, vectors = 0, first_tile = 0;
  Divisor by_vectors, by_anchors;
};

struct Heads {
  int64_t images = 0;
  uint32_t boxes = 0, numbers = 0;  // of an image, of a box
  bool half = false;                // float16, not float32
  int pieces = 0;
  uint32_t tiles = 0;         // of an image
  uint32_t tile_vectors = 0;  // the most of a tile, padded
  HeadPiece piece[kMostPieces];
};

// Fills in the tiles; false where one pixel of a level needs more shared memory than there is.
bool lay_out_tiles(Heads& heads);

// ---- joined, to [image, box, number], or [image, number, box]
cudaError_t gather_heads(const Heads& heads, bool numbers_first, float* out, cudaStream_t stream);
// Four numbers of a box each, decoded; `size` may be null.
cudaError_t decode_heads(const Heads& heads, const DecodeArgs& args, const float* anchors, const float* size,
                         float* out, cudaStream_t stream);

// ---- scores, from numbers to lists of candidates
enum class ScoreActivation : uint8_t { kNone, kSigmoid, kSoftmax };
struct ScoreHeads {
  Heads heads;
  ScoreActivation activation = ScoreActivation::kNone;
};

}  // namespace fovea::core::cuda
