// A group of chain_match.h made a kernel.
#pragma once

#include "kernels/cuda/eltwise/chain_build.h"

namespace fovea::core::cuda::chain {

// On plain tensors with any strides or on tensors in NHWC8, as formats() offers them.
Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& context);

}  // namespace fovea::core::cuda::chain
