// The cases of the device's rows: those of the CPU's, and more of its own.
#pragma once

#include "kernels/cpu/row_cases.h"

namespace fovea::core::rows {

inline constexpr std::string_view kCudaCases[] = {
#define FOVEA_CASE(line) line,
#include "kernels/cpu/row_cases.inc"
#include "kernels/cpu/row_cases_nms.inc"
#include "kernels/cuda/row_cases.inc"
#include "kernels/cuda/row_cases_conv.inc"
#include "kernels/cuda/row_cases_gemm.inc"
#include "kernels/cuda/row_cases_layout.inc"
#include "kernels/cuda/row_cases_logic.inc"
#include "kernels/cuda/row_cases_reduce.inc"
#undef FOVEA_CASE
};

// What precision may permit besides float32: float16, or TF32 for products.
inline void allow_half(Graph& graph) {
  for (const auto& v : graph.values())
    if (v->dtype == DType::kFloat32 && !v->constant) v->storage.type = DType::kFloat16;
}
inline void allow_tf32(Graph& graph) {
  for (const auto& v : graph.values())
    if (v->dtype == DType::kFloat32 && !v->constant) v->storage.type = DType::kFloat32, v->storage.tf32 = true;
}

}  // namespace fovea::core::rows
