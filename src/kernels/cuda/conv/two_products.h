// The sum of two matrix products, with a bias, bounded: Y = min(max(X0 W0^T + X1 W1^T + bias, low), high). By CUTLASS,
// on Hopper's matrix units (sm_90a). Two products in turn would write Y twice and read it once.
#pragma once

#include <cuda_runtime.h>

namespace fovea::core::cuda {

struct TwoProductsArgs {
  int rows = 0, columns = 0;              // of Y
  int k[2] = {0, 0};                      // columns of X0 and of X1; these and `columns` are multiples of 8
  const void* x[2] = {nullptr, nullptr};  // float16, [rows][k]
  const void* w[2] = {nullptr, nullptr};  // float16, [columns][k]
  const float* bias = nullptr;            // [columns]; null: none
  void* y = nullptr;                      // float16, [rows][columns]
  float low = 0, high = 0;
  int multiprocessors = 0;
};

// They only launch. By the rows and columns of a tile.
cudaError_t two_products_256x128(const TwoProductsArgs& args, cudaStream_t stream);
cudaError_t two_products_128x256(const TwoProductsArgs& args, cudaStream_t stream);
cudaError_t two_products_128x128(const TwoProductsArgs& args, cudaStream_t stream);

}  // namespace fovea::core::cuda
