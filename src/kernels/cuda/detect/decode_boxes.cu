#include "kernels/cuda/detect/decode_boxes.h"

#include "kernels/cuda/device/divide.cuh"

namespace fovea::core::cuda {
namespace {

constexpr int kThreads = 256;

struct Number4 {
  float x, y, z, w;
};

template <bool kAligned>
__device__ __forceinline__ Number4 load4(const float* p) {
  if constexpr (kAligned) {
    const float4 v = __ldg(reinterpret_cast<const float4*>(p));
    return {v.x, v.y, v.z, v.w};
  } else {
    return {__ldg(p), __ldg(p + 1), __ldg(p + 2), __ldg(p + 3)};
  }
}

template <typename T>
__device__ __forceinline__ void exchange(T& a, T& b) {
  const T c = a;
  a = b, b = c;
}

// As std::clamp: NaN stays.
__device__ __forceinline__ float bounded(float x, float high) { return x < 0.0f ? 0.0f : high < x ? high : x; }
// A hostile negative size would make the bounds contradict.
__device__ __forceinline__ float not_negative(float x) { return x < 0.0f ? 0.0f : x; }

// The operations are the reference's, one by one: the intrinsics are never contracted.
template <bool kAligned>
__global__ void __launch_bounds__(kThreads)
    decode_rows(DecodeArgs a, const float* deltas, const float* anchors, const float* size, float* out, uint32_t rows,
                Divisor classes, Divisor boxes) {
  const uint32_t row = blockIdx.x * kThreads + threadIdx.x;
  if (row >= rows) return;
  const uint32_t anchor = classes.quotient(row);
  uint32_t image = anchor;
  const uint32_t box = boxes.split(image);

  Number4 p = load4<kAligned>(anchors + int64_t{a.own_anchors ? anchor : box} * 4);
  if (a.anchors == Anchors::kYxCentre) exchange(p.x, p.y), exchange(p.z, p.w);
  if (a.anchors == Anchors::kXyxy) {
    p.z = __fsub_rn(p.z, p.x), p.w = __fsub_rn(p.w, p.y);
    p.x = __fadd_rn(p.x, __fmul_rn(p.z, 0.5f)), p.y = __fadd_rn(p.y, __fmul_rn(p.w, 0.5f));
  }
  Number4 t = load4<kAligned>(deltas + int64_t{row} * 4);
  t.x = __fdiv_rn(__fmul_rn(t.x, a.variances[0]), a.scales[0]);
  t.y = __fdiv_rn(__fmul_rn(t.y, a.variances[1]), a.scales[1]);
  t.z = __fdiv_rn(__fmul_rn(t.z, a.variances[2]), a.scales[2]);
  t.w = __fdiv_rn(__fmul_rn(t.w, a.variances[3]), a.scales[3]);
  if (a.deltas_yx) exchange(t.x, t.y), exchange(t.z, t.w);
  if (a.max_log_size > 0) {
    t.z = t.z > a.max_log_size ? a.max_log_size : t.z;
    t.w = t.w > a.max_log_size ? a.max_log_size : t.w;
  }
  const float x = __fadd_rn(__fmul_rn(t.x, p.z), p.x), y = __fadd_rn(__fmul_rn(t.y, p.w), p.y);
  const float w = __fmul_rn(__fmul_rn(expf(t.z), p.z), 0.5f), h = __fmul_rn(__fmul_rn(expf(t.w), p.w), 0.5f);
  Number4 r = {__fsub_rn(x, w), __fsub_rn(y, h), __fadd_rn(x, w), __fadd_rn(y, h)};
  if (a.clip) {
    const float* const limits = size && a.size_of_image ? size + 2 * image : size;
    const float height = not_negative(limits ? __ldg(limits) : a.clip_height),
                width = not_negative(limits ? __ldg(limits + 1) : a.clip_width);
    r = {bounded(r.x, width), bounded(r.y, height), bounded(r.z, width), bounded(r.w, height)};
  }
  if (a.output_yx) exchange(r.x, r.y), exchange(r.z, r.w);
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
