#include "backends/cuda/code_check.h"

#include <fmt/format.h>

#include "backends/cuda/cuda.h"

namespace fovea::core::cuda {

Status check_code(cudaError_t found, std::string_view device, int major, int minor) {
  switch (found) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:  // what a lazily loaded kernel gives instead
      (void)cudaGetLastError();
      return unsupported(
          "{}: this build of fovea has no code for sm_{}{}, but for {}: build it with FOVEA_CUDA_ARCHITECTURES=all",
          device, major, minor, FOVEA_CUDA_ARCHITECTURES);
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
      (void)cudaGetLastError();
      return unsupported(
          "{}: this build of fovea has only PTX for sm_{}{}, which the driver cannot compile ({}): expected a driver "
          "for "
          "CUDA {}.{} or newer, or a build with FOVEA_CUDA_ARCHITECTURES={}{}",
          device, major, minor, cudaGetErrorString(found), CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, major,
          minor);
    default: return check(found, "cudaFuncGetAttributes");
  }
}

}  // namespace fovea::core::cuda
