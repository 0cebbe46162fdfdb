#include "kernels/cuda/detect/decode_boxes.h"

#include "kernels/cuda/device/decode.cuh"
#include "kernels/cuda/device/divide.cuh"

namespace fovea::core::cuda {
namespace {

constexpr int kThreads = 256;

template <bool kAligned>
__device__ __forceinline__ Number4 load4(const float* p) {
  if constexpr (kAligned) {
    const float4 v = __ldg(reinterpret_cast<const float4*>(p));
    return {v.x, v.y, v.z, v.w};
  } else {
    return {__ldg(p), __ldg(p + 1), __ldg(p + 2), __ldg(p + 3)};
  }
}

template <bool kAligned>
__global__ void __launch_bounds__(kThreads)
    decode_rows(DecodeArgs a, const float* deltas, const float* anchors, const float* size, float* out, uint32_t rows,
                Divisor classes, Divisor boxes) {
  const uint32_t row = blockIdx.x * kThreads + threadIdx.x;
  if (row >= rows) return;
  const uint32_t anchor = classes.quotient(row);
  uint32_t image = anchor;
  const uint32_t box = boxes.split(image);
  const Number4 p = load4<kAligned>(anchors + int64_t{a.own_anchors ? anchor : box} * 4);
  const Number4 r = decoded(a, load4<kAligned>(deltas + int64_t{row} * 4), p, size, image);
  float* const to = out + int64_t{row} * 4;
  if constexpr (kAligned) *reinterpret_cast<float4*>(to) = make_float4(r.x, r.y, r.z, r.w);
  else to[0] = r.x, to[1] = r.y, to[2] = r.z, to[3] = r.w;
}

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace

cudaError_t decode_boxes(const DecodeArgs& a, const float* deltas, const float* anchors, const float* size, float* out,
                         cudaStream_t stream) {
  const auto rows = static_cast<uint32_t>(a.images * a.boxes * a.classes);
  if (rows == 0) return cudaSuccess;
  const unsigned blocks = (rows + kThreads - 1) / kThreads;
  const Divisor classes(a.classes), boxes(a.boxes);
  if (aligned(deltas) && aligned(anchors) && aligned(out))
    decode_rows<true><<<blocks, kThreads, 0, stream>>>(a, deltas, anchors, size, out, rows, classes, boxes);
  else decode_rows<false><<<blocks, kThreads, 0, stream>>>(a, deltas, anchors, size, out, rows, classes, boxes);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
