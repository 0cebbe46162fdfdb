// Has this build code for a GPU?
#pragma once

#include <cuda_runtime_api.h>

namespace fovea::core::cuda {

// Looks for a kernel's code on the device that is current. All .cu are compiled for the same architectures.
cudaError_t find_code();

}  // namespace fovea::core::cuda
