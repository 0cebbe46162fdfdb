// cuBLASLt, opened at run time: the functions that kernels call, and a handle for one device.
#pragma once

#include <cublasLt.h>

#include "backends/cuda/cuda.h"

namespace fovea::core::cuda {

// The handle belongs to no stream, and several threads may work with it at once. Like the library it stays until the
// process ends: what exit() has taken down already must not be called.
struct CublasLt {
  cublasLtHandle_t handle = nullptr;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtGetStatusString) status_text;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) create_product;
  decltype(&cublasLtMatmulDescDestroy) destroy_product;
  decltype(&cublasLtMatmulDescSetAttribute) set_product;
  decltype(&cublasLtMatrixLayoutCreate) create_matrix;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_matrix;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulAlgoConfigGetAttribute) configuration;

  Status check(cublasStatus_t status, std::string_view what) const;
};

// For the device that is current in this thread.
Result<std::shared_ptr<const CublasLt>> open_cublaslt();

}  // namespace fovea::core::cuda
