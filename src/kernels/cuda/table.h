// Declares every row of kernels.inc; a kernel's file includes it, so that its constant has a name outside.
#pragma once

#include "kernels/kernel.h"

namespace fovea::core {

#define FOVEA_KERNEL(symbol, family, file) extern const KernelRow kernel_##symbol;
#include "kernels/cuda/kernels.inc"
#undef FOVEA_KERNEL

std::span<const KernelRow* const> cuda_kernels();

}  // namespace fovea::core
