// What the parts of few_channels.cuh share: elements, and where a tile lies.
#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/conv/few_channels.h"
#include "kernels/cuda/device/mma.cuh"

namespace fovea::core::cuda {

__device__ __forceinline__ float as_float(float v) { return v; }
__device__ __forceinline__ float as_float(__half v) { return __half2float(v); }
__device__ __forceinline__ void assign(float& to, float v) { to = v; }
__device__ __forceinline__ void assign(__half& to, float v) { to = __float2half_rn(v); }

template <typename T, int N>
struct alignas(N * sizeof(T)) Run {
  T lane[N];
};

// Element by element, 16 bytes of them. By value, so that they are loaded together.
template <typename T>
__device__ __forceinline__ void take_larger(uint4& best, uint4 v) {
  auto word = [](uint32_t a, uint32_t b) {
    if constexpr (sizeof(T) == 2) return larger_halves(a, b);
    else return __float_as_uint(larger(__uint_as_float(a), __uint_as_float(b)));
  };
  best = {word(best.x, v.x), word(best.y, v.y), word(best.z, v.z), word(best.w, v.w)};
}

// The same number, but the compiler cannot know it: what follows from it is computed where it is needed, and takes no
// registers from one tile to the next.
__device__ __forceinline__ int made_anew(int v) {
  asm volatile("" : "+r"(v));
  return v;
}

// A tile: its picture, its first pixel of the output, that of the convolution, and where the patch begins.
struct Tile {
  int n, part_y, part_x, y, x, patch_y, patch_x;
};
__device__ __forceinline__ Tile tile_at(const FewChannelsArgs& a, int index) {
  uint32_t rest = static_cast<uint32_t>(index);
  const int x = static_cast<int>(a.by_tiles_x.split(rest)), y = static_cast<int>(a.by_tiles_y.split(rest));
  Tile t;
  t.n = static_cast<int>(rest), t.part_y = y * a.part_h, t.part_x = x * a.part_w;
  t.y = t.part_y * a.pool_stride_h - a.pool_top, t.x = t.part_x * a.pool_stride_w - a.pool_left;
  t.patch_y = t.y * a.stride_h - a.pad_top, t.patch_x = t.x * a.stride_w - a.pad_left;
  return t;
}

}  // namespace fovea::core::cuda
