// The kernel of few_channels.h. Blocks stay and go from tile to tile with their weights; what the next tile reads of a
// float32 picture is on its way while this one is computed.
#pragma once

#include "kernels/cuda/conv/few_channels_patch.cuh"
#include "kernels/cuda/conv/few_channels_result.cuh"

namespace fovea::core::cuda {

template <typename In, typename Factors, int kEights, bool kPooled>
__global__ void __launch_bounds__(kFewThreads, 2) few_channels_kernel(const __grid_constant__ FewChannelsArgs a) {
  using Out = typename Factors::Out;
  extern __shared__ __align__(128) char few_channels_shared[];
  char* const shared = few_channels_shared;
  const int group = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int tiles = a.n * a.tiles_y * a.tiles_x;
  int index = static_cast<int>(blockIdx.x);
  if constexpr (sizeof(In) == 4) fetch(a, tile_at(a, index), shared_address(shared + a.places.fetched));

  const int words = a.steps * kEights * 16;  // of 16 bytes
  const uint4* weights = static_cast<const uint4*>(a.weights) + static_cast<int64_t>(group) * words;
  for (int i = thread; i < words; i += kFewThreads) reinterpret_cast<uint4*>(shared + a.places.weights)[i] = weights[i];
  for (int i = thread; i < a.steps; i += kFewThreads) {
    const FewUnit one = few_unit(a, 2 * i), two = few_unit(a, 2 * i + 1);
    reinterpret_cast<int4*>(shared + a.places.steps)[i] = make_int4(one.offset, two.offset, one.taps, two.taps);
  }
  float* const bias = reinterpret_cast<float*>(shared + a.places.bias);
  if (thread < kEights * 8) bias[thread] = a.bias[group * kEights * 8 + thread];

  // Pixels beyond the tile compute what its first one does, and are not stored.
  const int pixels = a.tile_h * a.tile_w, first = thread / 32 * 32;
  uint32_t windows[2];
#pragma unroll
  for (int m = 0; m < 2; ++m) {
    const int pixel = first + m * 16 + lane % 16, inside = pixel < pixels ? pixel : 0;
    const int y = static_cast<int>(a.by_tile_w.quotient(static_cast<uint32_t>(inside)));
    windows[m] = shared_address(shared + window_place(a, y, inside - y * a.tile_w));
  }

  while (true) {
    wait_for_copies();
    __syncthreads();  // the tile is fetched, and nobody reads the patch any more
    fill<In, Factors>(a, tile_at(a, index), shared);
    __syncthreads();
    const int next = index + static_cast<int>(gridDim.x);
    if constexpr (sizeof(In) == 4)
      if (next < tiles) fetch(a, tile_at(a, next), shared_address(shared + a.places.fetched));

    float sums[2][kEights][4];
    clear<kEights>(sums);
    multiply<Factors, kEights>(a, shared, windows, sums);

    const Tile tile = tile_at(a, index);
    const int mine = made_anew(first + lane / 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int pixel = mine + i * 8;
      const int y = static_cast<int>(a.by_tile_w.quotient(static_cast<uint32_t>(pixel))), x = pixel - y * a.tile_w;
      if constexpr (kPooled) {
        store<Out, kEights, kPooled>(a, group, bias, sums[i / 2], i % 2, [&](int inner, int) -> Out* {
          if (pixel >= pixels) return nullptr;
          const int byte = inner * static_cast<int>(sizeof(Out));
          return reinterpret_cast<Out*>(shared + a.places.sums + sum_place<sizeof(Out) == 2, kEights>(pixel, byte));
        });
      } else {
        const bool inside = pixel < pixels && tile.y + y < a.p && tile.x + x < a.q;
        Out* const to =
            static_cast<Out*>(a.to) + ((static_cast<int64_t>(tile.n) * a.p + tile.y + y) * a.q + tile.x + x) * a.stored;
        store<Out, kEights, kPooled>(a, group, bias, sums[i / 2], i % 2, [&](int, int channel) -> Out* {
          return inside && channel < a.stored ? to + channel : nullptr;
        });
      }
    }
    if constexpr (kPooled) {
      __syncthreads();
      pool_tile<Out, kEights>(a, tile, group, shared + a.places.sums);
    }
    if (next >= tiles) return;
    index = next;
  }
}

}  // namespace fovea::core::cuda
