// A tile of a level's pixels in shared memory.
#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/detect/heads.h"

namespace fovea::core::cuda {

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }

// Of a block: which piece, which of its pixels, and where they are now.
template <typename T>
struct HeadTile {
  static constexpr uint32_t kVector = 16 / sizeof(T);
  const HeadPiece* piece;
  const T* numbers;
  int64_t image;
  uint32_t first_pixel, pixels, boxes, pitch;

  // Box b of the tile, anchors of a pixel beside each other: its number k is row(b)[k * piece->number_stride].
  __device__ __forceinline__ const T* row(uint32_t pixel, uint32_t anchor) const {
    return numbers + pixel * pitch + (piece->offset - piece->begin) + anchor * piece->anchor_stride;
  }
  __device__ __forceinline__ uint32_t box(uint32_t pixel, uint32_t anchor) const {
    return piece->first_box + (first_pixel + pixel) * piece->box_pixel + anchor * piece->box_anchor;
  }
};

// Block b of heads.images * heads.tiles; ends with the barrier behind which `memory` may be read. A pixel takes an odd
// number of vectors there, so that the same number of neighbouring pixels lies in different banks.
template <typename T>
__device__ HeadTile<T> load_tile(const Heads& heads, uint32_t block, uint4* memory) {
  const uint32_t t = block % heads.tiles;
  int at = heads.pieces - 1;
  while (at > 0 && heads.piece[at].first_tile > t) --at;
  const HeadPiece& p = heads.piece[at];
  HeadTile<T> tile;
  tile.piece = &p, tile.numbers = reinterpret_cast<const T*>(memory), tile.image = block / heads.tiles;
  tile.first_pixel = (t - p.first_tile) * p.tile_pixels;
  tile.pixels = min(p.tile_pixels, p.pixels - tile.first_pixel);
  tile.boxes = tile.pixels * p.anchors;
  const uint32_t room = p.vectors | 1;
  tile.pitch = room * HeadTile<T>::kVector;
  const T* const from = static_cast<const T*>(p.data) + tile.image * p.image_stride +
                        int64_t{tile.first_pixel} * p.pitch + p.begin;
  // Several at a time are on their way.
  constexpr uint32_t kAtOnce = 4;
  const uint32_t count = tile.pixels * p.vectors;
  for (uint32_t first = threadIdx.x; first < count; first += kAtOnce * kHeadThreads) {
    uint4 values[kAtOnce];
    uint32_t places[kAtOnce];
#pragma unroll
    for (uint32_t j = 0; j < kAtOnce; ++j) {
      uint32_t pixel = min(first + j * kHeadThreads, count - 1);
      const uint32_t vector = p.by_vectors.split(pixel);
      places[j] = pixel * room + vector;
      values[j] = __ldg(reinterpret_cast<const uint4*>(from + int64_t{pixel} * p.pitch) + vector);
    }
#pragma unroll
    for (uint32_t j = 0; j < kAtOnce; ++j)
      if (first + j * kHeadThreads < count) memory[places[j]] = values[j];
  }
  __syncthreads();
  return tile;
}

// Launches kernel(heads, ...) with a block for each tile and `extra` bytes of shared memory behind the tile.
template <typename... Parameters, typename... Arguments>
cudaError_t launch_tiles(void (*kernel)(Heads, Parameters...), const Heads& heads, uint32_t extra, cudaStream_t stream,
                         Arguments... arguments) {
  const size_t bytes = size_t{heads.tile_vectors} * 16 + extra;
  const int64_t blocks = heads.images * heads.tiles;
  if (blocks == 0) return cudaSuccess;
  if (bytes > 48 * 1024) {
    const cudaError_t e =
        cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes));
    if (e != cudaSuccess) return e;
  }
  kernel<<<static_cast<unsigned>(blocks), kHeadThreads, bytes, stream>>>(heads, arguments...);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
