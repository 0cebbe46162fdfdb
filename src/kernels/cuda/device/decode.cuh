// A box from its deltas and its anchor.
#pragma once

#include "kernels/cuda/detect/decode_boxes.h"

namespace fovea::core::cuda {

struct Number4 {
  float x, y, z, w;
};

template <typename T>
__device__ __forceinline__ void exchange(T& a, T& b) {
  const T c = a;
  a = b, b = c;
}

// As std::clamp: NaN stays.
__device__ __forceinline__ float bounded(float x, float high) { return x < 0.0f ? 0.0f : high < x ? high : x; }
// A hostile negative size would make the bounds contradict.
__device__ __forceinline__ float not_negative(float x) { return x < 0.0f ? 0.0f : x; }

// t: deltas, p: anchor. The operations are the reference's, one by one: the intrinsics are never contracted. `size` may be
// null.
__device__ __forceinline__ Number4 decoded(const DecodeArgs& a, Number4 t, Number4 p, const float* size,
                                           uint32_t image) {
  if (a.anchors == Anchors::kYxCentre) exchange(p.x, p.y), exchange(p.z, p.w);
  if (a.anchors == Anchors::kXyxy) {
    p.z = __fsub_rn(p.z, p.x), p.w = __fsub_rn(p.w, p.y);
    p.x = __fadd_rn(p.x, __fmul_rn(p.z, 0.5f)), p.y = __fadd_rn(p.y, __fmul_rn(p.w, 0.5f));
  }
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
  return r;
}

}  // namespace fovea::core::cuda
