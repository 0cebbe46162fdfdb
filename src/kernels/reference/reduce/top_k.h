// What TopK's kernels share.
#pragma once

#include "kernels/reference/reference.h"

namespace fovea::core {

// Reads k, checks it, gives the outputs their shape. Returns k, or 0 where there is nothing to write.
Result<int64_t> top_k_outputs(KernelContext& c);

}  // namespace fovea::core
