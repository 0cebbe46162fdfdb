// A prepared fold made a kernel.
#pragma once

#include "kernels/cuda/eltwise/chain_build.h"

namespace fovea::core::cuda::fold {

// All but the compiled code, which `prepared` has.
Result<std::unique_ptr<PreparedKernel>> make_kernel(const PrepareContext& context, chain::Prepared prepared);

}  // namespace fovea::core::cuda::fold
