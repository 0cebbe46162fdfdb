// Boxes' corners and overlap as the reference kernel computes them, operation by operation: the intrinsics are never
// contracted.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/detect/nms.h"

namespace fovea::core::cuda {

struct Corners {
  float x0, y0, x1, y1, area;
};

// As std::min and std::max: the first where one of them is NaN.
__device__ __forceinline__ float least(float a, float b) { return b < a ? b : a; }
__device__ __forceinline__ float greatest(float a, float b) { return a < b ? b : a; }

__device__ __forceinline__ float area_of(const Corners& c, float offset) {
  const float w = __fadd_rn(__fsub_rn(c.x1, c.x0), offset), h = __fadd_rn(__fsub_rn(c.y1, c.y0), offset);
  return w > 0 && h > 0 ? __fmul_rn(w, h) : 0;
}

__device__ inline Corners corners(const NmsArgs& a, const float* b) {
  const float b0 = __ldg(b), b1 = __ldg(b + 1), b2 = __ldg(b + 2), b3 = __ldg(b + 3);
  Corners r{b0, b1, b2, b3, 0};
  switch (a.box_form) {
    case BoxForm::kXyxy: break;
    case BoxForm::kYxyx: r = {b1, b0, b3, b2, 0}; break;
    case BoxForm::kAnyDiagonal: r = {least(b1, b3), least(b0, b2), greatest(b3, b1), greatest(b2, b0), 0}; break;
    case BoxForm::kCentre: {
      const float w = __fmul_rn(b2, 0.5f), h = __fmul_rn(b3, 0.5f);
      r = {__fsub_rn(b0, w), __fsub_rn(b1, h), __fadd_rn(b0, w), __fadd_rn(b1, h), 0};
      break;
    }
    case BoxForm::kXywh: r = {b0, b1, __fadd_rn(b0, b2), __fadd_rn(b1, b3), 0}; break;
  }
  r.area = area_of(r, a.iou_offset);
  return r;
}

// What minimum and maximum make of NaN does not matter: a box with NaN has no area.
__device__ inline float iou(const Corners& a, const Corners& b, float offset) {
  const float w = __fadd_rn(__fsub_rn(fminf(a.x1, b.x1), fmaxf(a.x0, b.x0)), offset),
              h = __fadd_rn(__fsub_rn(fminf(a.y1, b.y1), fmaxf(a.y0, b.y0)), offset);
  const float intersection = w > 0 && h > 0 ? __fmul_rn(w, h) : 0;
  if (!(intersection > 0 && a.area > 0 && b.area > 0)) return 0;
  const float together = __fsub_rn(__fadd_rn(a.area, b.area), intersection);
  return together > 0 ? __fdiv_rn(intersection, together) : 0;
}

}  // namespace fovea::core::cuda
