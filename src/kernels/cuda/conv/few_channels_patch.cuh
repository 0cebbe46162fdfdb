// The patch of few_channels.h and its products with the weights.
#pragma once

#include "kernels/cuda/conv/few_channels_tile.cuh"
#include "kernels/cuda/device/mma.cuh"

namespace fovea::core::cuda {

// ---- the two kinds of factors

struct HalfFactors {
  using Pixel = uint2;
  using Out = __half;
  static __device__ __forceinline__ uint32_t two(float a, float b) {
    const __half2 v = __floats2half2_rn(a, b);
    return *reinterpret_cast<const uint32_t*>(&v);
  }
  static __device__ __forceinline__ Pixel pixel(const float (&v)[4]) { return {two(v[0], v[1]), two(v[2], v[3])}; }
  static __device__ __forceinline__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    multiply_half(sum, a, b0, b1);
  }
};

struct Tf32Factors {
  using Pixel = uint4;
  using Out = float;
  static __device__ __forceinline__ Pixel pixel(const float (&v)[4]) {
    return {to_tf32(v[0]), to_tf32(v[1]), to_tf32(v[2]), to_tf32(v[3])};
  }
  static __device__ __forceinline__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    multiply_tf32(sum, a, b0, b1);
  }
};

// ---- the patch

// Calls f(i, row, column, at) for the pixels of the patch, i counting them. `at` is where a pixel is in a channel of the
// picture, or -1 outside.
template <typename F>
__device__ __forceinline__ void each_pixel(const FewChannelsArgs& a, const Tile& t, F&& f) {
  const int count = a.rows * a.columns, thread = static_cast<int>(threadIdx.x);
  int row = static_cast<int>(a.by_columns.quotient(static_cast<uint32_t>(thread))), column = thread - row * a.columns;
  for (int i = thread; i < count; i += kFewThreads) {
    const int y = t.patch_y + row, x = t.patch_x + column;
    const bool inside = static_cast<unsigned>(y) < static_cast<unsigned>(a.h) &&
                        static_cast<unsigned>(x) < static_cast<unsigned>(a.w);
    f(i, row, column, inside ? y * a.w + x : -1);
    row += a.next_row, column += a.next_column;  // kFewThreads further on
    if (column >= a.columns) column -= a.columns, ++row;
  }
}

template <typename In>
__device__ __forceinline__ const In* picture(const FewChannelsArgs& a, const Tile& t) {
  return static_cast<const In*>(a.from) + static_cast<int64_t>(t.n) * a.c * a.h * a.w;
}

// Asks for a float32 tile's part of the picture, channel after channel.
__device__ __forceinline__ void fetch(const FewChannelsArgs& a, const Tile& t, uint32_t to) {
  const float* from = picture<float>(a, t);
  const int count = a.rows * a.columns, plane = a.h * a.w;
  each_pixel(a, t, [&](int i, int, int, int at) {
    const float* source = from + max(at, 0);
    const uint32_t place = to + static_cast<uint32_t>(i) * 4;
#pragma unroll
    for (int c = 0; c < kFewChannels; ++c)
      if (c < a.c) copy_4_async(place + static_cast<uint32_t>(c * count) * 4, source + c * plane, at >= 0);
  });
}

// The patch, from what was fetched or, float16, from the picture.
template <typename In, typename Factors>
__device__ __forceinline__ void fill(const FewChannelsArgs& a, const Tile& t, char* shared) {
  using Pixel = typename Factors::Pixel;
  auto* patch = reinterpret_cast<Pixel*>(shared + a.places.patch);
  auto* shifted = reinterpret_cast<Pixel*>(shared + a.places.shifted);
  const bool twice = a.half && a.stride_w % 2 != 0;
  const int count = a.rows * a.columns, plane = a.h * a.w;
  each_pixel(a, t, [&](int i, int row, int column, int at) {
    float v[kFewChannels];
#pragma unroll
    for (int c = 0; c < kFewChannels; ++c) {
      v[c] = 0;
      if (c >= a.c) continue;
      if constexpr (sizeof(In) == 4)
        v[c] = reinterpret_cast<const float*>(shared + a.places.fetched)[c * count + i];
      else if (at >= 0) v[c] = as_float(picture<In>(a, t)[c * plane + at]);
    }
    const Pixel pixel = Factors::pixel(v);
    int place = row * a.pitch + column;
    if (twice && column > 0) shifted[place - 1] = pixel;
    if (a.phases != 1) place = pixel_place(a, row, column) / static_cast<int>(sizeof(Pixel));
    patch[place] = pixel;
  });
}

// ---- products

// The sums of a warp's 32 pixels and the block's channels: [16 pixels][eight][as multiply_half() says].
template <typename Factors, int kEights>
__device__ __forceinline__ void multiply(const FewChannelsArgs& a, const char* shared, const uint32_t (&windows)[2],
                                         float (&sums)[2][kEights][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto* table = reinterpret_cast<const int4*>(shared + a.places.steps);
  const auto* weights = reinterpret_cast<const uint4*>(shared + a.places.weights) + lane;
  const int part = lane % 4 / 2;  // of a unit: which 8 bytes of it this lane's four belong to
  for (int step = 0; step < a.steps; ++step) {
    const int4 units = table[step];  // the offsets of both, then which taps of them count
    const auto offset = static_cast<uint32_t>(lane < 16 ? units.x : units.y);
    const uint32_t first = 0u - static_cast<uint32_t>(units.z >> part & 1);
    const uint32_t second = 0u - static_cast<uint32_t>(units.w >> part & 1);
    uint32_t x[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      load_matrices(x[m], windows[m] + offset);
      x[m][0] &= first, x[m][1] &= first, x[m][2] &= second, x[m][3] &= second;
    }
#pragma unroll
    for (int j = 0; j < kEights / 2; ++j) {
      const uint4 w = weights[(step * (kEights / 2) + j) * 32];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        Factors::multiply(sums[m][2 * j], x[m], w.x, w.y);
        Factors::multiply(sums[m][2 * j + 1], x[m], w.z, w.w);
      }
    }
  }
}

template <int kEights>
__device__ __forceinline__ void clear(float (&sums)[2][kEights][4]) {
#pragma unroll
  for (int j = 0; j < kEights; ++j)
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[0][j][i] = sums[1][j][i] = 0;
}

}  // namespace fovea::core::cuda
