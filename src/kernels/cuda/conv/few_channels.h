// Convolution of at most four input channels on the matrix units, plain in and NHWC8 out, with bias, activation and
// max-pool inside. How everything lies is here, for the host that packs and for the kernel that reads.
//
// A block computes tiles of the output, kTilePixels pixels and 8 * eights channels each. It keeps the part of the
// picture that a tile looks at, the patch, in shared memory, four channels to a pixel (float16: 8 bytes, TF32: 16), so
// that the window of an output pixel is a few runs of memory: one for each filter row, made of units of 16 bytes (two
// taps in float16, one in TF32). Two units are what one product of matrices takes of a row: a step. ldmatrix reads the
// units of 8 pixels wherever they begin, if only at a multiple of 16 bytes; where a window begins at an odd pixel of
// float16, it is read from a second patch that is shifted by one pixel.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/device/divide.cuh"

namespace fovea::core::cuda {

constexpr int kFewChannels = 4;                      // of the input; missing ones are zero
constexpr int kFewThreads = 256, kTilePixels = 256;  // a warp has 32 of them
constexpr int kMostEights = 8;                       // eights of output channels that a block takes: 2, 4 or 8

enum class Activate : uint8_t { kNone, kClip, kLeakyRelu, kSigmoid, kTanh, kSwish, kHardSwish };

// Where everything is in shared memory, in bytes.
struct FewPlaces {
  int weights = 0, steps = 0, bias = 0, patch = 0, shifted = 0, fetched = 0, sums = 0, end = 0;
};

struct FewChannelsArgs {
  const void* from = nullptr;
  void* to = nullptr;
  const void* weights = nullptr;  // fragment_word() of them
  const float* bias = nullptr;    // of all blocks' channels
  bool half = true;               // factors and output; else TF32 and float32
  bool half_input = false;        // in memory
  Activate activate = Activate::kNone;
  float low = 0, high = 0;   // of kClip; low: alpha of kLeakyRelu and kSwish
  bool clip_halves = false;  // kClip whose bounds are halves: sums may be rounded, and pooled, before
  int n = 0, c = 0, h = 0, w = 0, k = 0;
  int p = 0, q = 0;  // of the convolution
  int r = 1, s = 1, stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0;
  bool pooled = false;
  int pool_h = 1, pool_w = 1, pool_stride_h = 1, pool_stride_w = 1, pool_top = 0, pool_left = 0;
  int out_h = 0, out_w = 0;  // p and q, or the pool's
  // ---- as place_tiles() leaves them
  int eights = 8, groups = 1;  // of output channels: how many a block takes, and how many such blocks there are
  int tile_h = 1, tile_w = 1;  // pixels of the convolution
  int part_h = 1, part_w = 1;  // pixels of the output; the same without a pool
  int tiles_y = 1, tiles_x = 1;
  int rows = 1, columns = 1, pitch = 2;  // of the patch, in pixels
  int phases = 1, slots = 1;             // of a line of it: unit_place()
  int steps = 1, stored = 8;             // steps_of(); channels of the output in memory
  FewPlaces places;
  int next_row = 0, next_column = 0;  // kFewThreads pixels of the patch further on
  Divisor by_columns, by_tile_w, by_part_w, by_tiles_x, by_tiles_y;
};

// ---- units and steps

__host__ __device__ inline int taps_of_unit(const FewChannelsArgs& a) { return a.half ? 2 : 1; }
__host__ __device__ inline int pixel_bytes(const FewChannelsArgs& a) { return a.half ? 8 : 16; }
__host__ __device__ inline int units_of_row(const FewChannelsArgs& a) {
  return (a.s + taps_of_unit(a) - 1) / taps_of_unit(a);
}
__host__ __device__ inline int steps_of(const FewChannelsArgs& a) { return (a.r * units_of_row(a) + 1) / 2; }

// How far apart the windows of neighbouring pixels are, in units; 1 where they may begin in the middle of one.
__host__ __device__ inline int units_apart(const FewChannelsArgs& a) {
  if (!a.half) return a.stride_w;
  return a.stride_w % 2 == 0 ? a.stride_w / 2 : 1;
}
// Where a unit is in its line of the patch, in bytes: those that neighbouring windows read together are neighbours, so
// that they are in different banks.
__host__ __device__ inline int unit_place(const FewChannelsArgs& a, int unit) {
  if (a.phases == 1) return unit * 16;
  return (unit % a.phases * a.slots + unit / a.phases) * 16;
}
// Where a pixel of the patch is.
__host__ __device__ inline int pixel_place(const FewChannelsArgs& a, int row, int column) {
  const int taps = taps_of_unit(a);
  return row * a.pitch * pixel_bytes(a) + unit_place(a, column / taps) + column % taps * pixel_bytes(a);
}

// A unit: its offset from where a window begins, and which of its halves are taps of the filter (bit 0: its first 8
// bytes, bit 1: its last). What is no tap may be any pixel of the picture, infinite even, and must not be multiplied.
struct FewUnit {
  int offset, taps;
};
__host__ __device__ inline FewUnit few_unit(const FewChannelsArgs& a, int unit) {
  const int row = unit / units_of_row(a), in_row = unit % units_of_row(a), tap = in_row * taps_of_unit(a);
  if (row >= a.r) return {0, 0};  // the second of the last step
  return {row * a.pitch * pixel_bytes(a) + unit_place(a, in_row), !a.half || tap + 1 < a.s ? 3 : 1};
}

// ---- weights

// Which of a block's channels column `column` of its eight number `eight` is: a lane, who has the sums of columns 2t
// and 2t + 1 of each, is to have as many neighbours as 16 bytes of the output hold.
__host__ __device__ constexpr int eights_of_vector(bool half, int eights) { return half && eights >= 4 ? 4 : 2; }
__host__ __device__ constexpr int few_channel(bool half, int eights, int eight, int column) {
  const int v = eights_of_vector(half, eights);
  return eight / v * (8 * v) + column / 2 * (2 * v) + eight % v * 2 + column % 2;
}

// Which four bytes of the packed weights a lane takes for the first or second unit of a step.
__host__ __device__ inline int64_t fragment_word(const FewChannelsArgs& a, int group, int step, int eight, int lane,
                                                 int which) {
  const int64_t pairs = (static_cast<int64_t>(group) * steps_of(a) + step) * (a.eights / 2) + eight / 2;
  return (pairs * 32 + lane) * 4 + eight % 2 * 2 + which;
}

// ---- shared memory

// Bytes of a pixel's sums, where a pool reads them.
__host__ __device__ constexpr int sum_bytes(bool half, int eights) { return eights * 8 * (half ? 2 : 4); }
// Where byte `byte` of a pixel's sums is: the 64 that four lanes write together are in other banks than those of the
// pixel before.
template <bool kHalf, int kEights>
__host__ __device__ constexpr int sum_place(int pixel, int byte) {
  constexpr int kBytes = sum_bytes(kHalf, kEights);
  return pixel * kBytes + (kBytes % 128 == 0 ? byte ^ pixel % 2 * 64 : byte);
}
inline FewPlaces places_of(const FewChannelsArgs& a) {
  auto up = [](int bytes) { return (bytes + 127) / 128 * 128; };
  FewPlaces at{};
  at.steps = steps_of(a) * a.eights * 256;
  at.bias = at.steps + steps_of(a) * 16;
  at.patch = up(at.bias + a.eights * 8 * 4);
  const int patch = up(a.rows * a.pitch * pixel_bytes(a));
  at.shifted = at.patch + patch + 64;  // in the other banks
  const bool twice = a.half && a.stride_w % 2 != 0;
  at.fetched = at.patch + patch + (twice ? patch + 128 : 0);
  at.sums = up(at.fetched + (a.half_input ? 0 : a.c * a.rows * a.columns * 4));
  at.end = at.sums + (a.pooled ? a.tile_h * a.tile_w * sum_bytes(a.half, a.eights) : 0);
  return at;
}
// Where the window of the tile's pixel (y, x) begins.
__host__ __device__ inline int window_place(const FewChannelsArgs& a, int y, int x) {
  const int column = x * a.stride_w, odd = a.half ? column % 2 : 0;
  return (odd ? a.places.shifted : a.places.patch) + pixel_place(a, y * a.stride_h, column - odd);
}

// ---- calls

// How many blocks of this kernel a multiprocessor holds; lets the kernel have `most_shared`, a block's most bytes
// there.
cudaError_t few_channels_blocks(const FewChannelsArgs& args, int most_shared, int* blocks);
// Only launches; `blocks` for each group of channels, who share the tiles.
cudaError_t few_channels_conv(const FewChannelsArgs& args, int blocks, cudaStream_t stream);

}  // namespace fovea::core::cuda
