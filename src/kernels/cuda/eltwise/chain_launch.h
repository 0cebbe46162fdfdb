// A prepared chain made a kernel.
#pragma once

#include "kernels/cuda/eltwise/chain_build.h"

namespace fovea::core::cuda::chain {

// On plain tensors with any strides, or on tensors in NHWC8, as prepared.chain says.
std::unique_ptr<PreparedKernel> make_kernel(Prepared prepared);

}  // namespace fovea::core::cuda::chain
