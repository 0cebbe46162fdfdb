// What find_code() of code.h found, for people.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "base/status.h"

namespace fovea::core::cuda {

// kUnsupported where the build has no code for a GPU of this compute capability, or the driver cannot use it.
Status check_code(cudaError_t found, std::string_view device, int major, int minor);

}  // namespace fovea::core::cuda
