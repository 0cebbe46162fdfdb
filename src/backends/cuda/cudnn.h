// cuDNN's handles. The library is opened when a device is.
#pragma once

#include <cuda_runtime_api.h>

#include "base/status.h"

struct cudnnContext;

namespace fovea::core::cuda {

Result<cudnnContext*> create_cudnn(cudaStream_t stream);
void destroy_cudnn(cudnnContext* handle);

}  // namespace fovea::core::cuda
