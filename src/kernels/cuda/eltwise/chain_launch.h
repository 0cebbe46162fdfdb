// A group of chain_match.h made a kernel.
#pragma once

#include "kernels/cuda/eltwise/chain_build.h"
#include "kernels/cuda/eltwise/chain_match.h"

namespace fovea::core::cuda::chain {

// On plain tensors with any strides or on tensors in NHWC8, as formats() offers them.
Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& context);

// The kernel is the same whatever its group starts with; a row has one operator.
constexpr KernelRow row(std::string_view name, std::string_view op, bool in_place, double preference) {
  return {.name = name,
          .op = op,
          .strided_inputs = true,
          .in_place = in_place,
          .place = Place::kDevice,
          .match = match,
          .refuse = refuse,
          .formats = formats,
          .prepare = prepare,
          .preference = preference};
}

}  // namespace fovea::core::cuda::chain
