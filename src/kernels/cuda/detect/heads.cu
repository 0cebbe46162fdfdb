#include "kernels/cuda/detect/heads.h"

#include <algorithm>

#include "kernels/cuda/device/decode.cuh"
#include "kernels/cuda/device/heads.cuh"

namespace fovea::core::cuda {
namespace {

constexpr uint32_t kMostTileBytes = 96 * 1024, kGoodTileBytes = 32 * 1024;

// Neighbouring threads write neighbouring elements: box by box, a level's boxes in their order.
template <typename T>
__global__ void __launch_bounds__(kHeadThreads) gather_tiles(const __grid_constant__ Heads h, bool numbers_first, float* out) {
  extern __shared__ uint4 memory[];
  const HeadTile<T> tile = load_tile<T>(h, blockIdx.x, memory);
  const HeadPiece& p = *tile.piece;
  const bool pixels_inner = p.box_pixel == 1;
  const uint32_t inner = pixels_inner ? tile.pixels : p.anchors;
  const uint32_t fast = numbers_first ? tile.boxes : h.numbers;
  for (uint32_t i = threadIdx.x; i < tile.boxes * h.numbers; i += kHeadThreads) {
    const uint32_t b = numbers_first ? i % fast : i / fast, k = numbers_first ? i / fast : i % fast;
    const uint32_t x = b % inner, y = b / inner, pixel = pixels_inner ? x : y, anchor = pixels_inner ? y : x;
    const int64_t box = tile.box(pixel, anchor);
    const int64_t to = numbers_first ? (tile.image * h.numbers + k) * h.boxes + box
                                     : (tile.image * h.boxes + box) * h.numbers + k;
    out[to] = to_float(tile.row(pixel, anchor)[k * p.number_stride]);
  }
}

template <typename T>
__global__ void __launch_bounds__(kHeadThreads)
    decode_tiles(const __grid_constant__ Heads h, DecodeArgs a, const float* anchors, const float* size, float4* out) {
  extern __shared__ uint4 memory[];
  const HeadTile<T> tile = load_tile<T>(h, blockIdx.x, memory);
  const HeadPiece& p = *tile.piece;
  const bool pixels_inner = p.box_pixel == 1;
  const uint32_t inner = pixels_inner ? tile.pixels : p.anchors;
  for (uint32_t b = threadIdx.x; b < tile.boxes; b += kHeadThreads) {
    const uint32_t x = b % inner, y = b / inner, pixel = pixels_inner ? x : y, anchor = pixels_inner ? y : x;
    const T* const t = tile.row(pixel, anchor);
    const uint32_t k = p.number_stride;
    const int64_t box = tile.box(pixel, anchor), row = tile.image * h.boxes + box;
    const float* const q = anchors + (a.own_anchors ? row : box) * 4;
    const Number4 r = decoded(a, {to_float(t[0]), to_float(t[k]), to_float(t[2 * k]), to_float(t[3 * k])},
                              {__ldg(q), __ldg(q + 1), __ldg(q + 2), __ldg(q + 3)}, size,
                              static_cast<uint32_t>(tile.image));
    out[row] = make_float4(r.x, r.y, r.z, r.w);
  }
}

}  // namespace

bool lay_out_tiles(Heads& h) {
  const uint32_t vector = h.half ? 8 : 4;
  h.tiles = h.tile_vectors = 0;
  for (int i = 0; i < h.pieces; ++i) {
    HeadPiece& p = h.piece[i];
    const uint32_t end = p.offset + (p.anchors - 1) * p.anchor_stride + (h.numbers - 1) * p.number_stride + 1;
    p.begin = p.offset / vector * vector;
    p.vectors = (end - p.begin + vector - 1) / vector;
    const uint32_t pixel_bytes = (p.vectors | 1) * 16;
    if (pixel_bytes > kMostTileBytes) return false;
    // A thread for each box, as long as blocks stay small enough for several beside each other.
    const uint32_t wanted = std::max(kHeadThreads / p.anchors, 1u), room = std::max(kGoodTileBytes / pixel_bytes, 1u);
    p.tile_pixels = std::min({wanted, room, p.pixels});
    p.by_vectors = Divisor(p.vectors), p.by_anchors = Divisor(p.anchors);
    p.first_tile = h.tiles;
    h.tiles += (p.pixels + p.tile_pixels - 1) / p.tile_pixels;
    h.tile_vectors = std::max(h.tile_vectors, p.tile_pixels * (p.vectors | 1));
  }
  return h.images * h.tiles <= INT32_MAX;
}

cudaError_t gather_heads(const Heads& h, bool numbers_first, float* out, cudaStream_t stream) {
  return h.half ? launch_tiles(gather_tiles<__half>, h, 0, stream, numbers_first, out)
                : launch_tiles(gather_tiles<float>, h, 0, stream, numbers_first, out);
}

cudaError_t decode_heads(const Heads& h, const DecodeArgs& args, const float* anchors, const float* size, float* out,
                         cudaStream_t stream) {
  auto* const boxes = reinterpret_cast<float4*>(out);
  return h.half ? launch_tiles(decode_tiles<__half>, h, 0, stream, args, anchors, size, boxes)
                : launch_tiles(decode_tiles<float>, h, 0, stream, args, anchors, size, boxes);
}

}  // namespace fovea::core::cuda
