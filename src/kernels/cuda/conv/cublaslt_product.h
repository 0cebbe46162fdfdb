// A matrix product by cuBLASLt, with bias, residual and ReLU inside, and the algorithms that it has for it:
//   Y[n, m] = act(X[n, k] W[m, k]^T + bias[m] + residual[n, m])
// cuBLASLt counts by columns, where the same memory is Y[m, n] = W[k, m]^T X[k, n].
#pragma once

#include "backends/cuda/cublaslt.h"
#include "ir/tensor.h"

namespace fovea::core::cuda {

struct ProductShape {
  int64_t n = 0, m = 0, k = 0;
  DType type = DType::kFloat32;  // of X, W, Y, residual and bias: float32 or float16
  bool tf32 = false, relu = false, residual = false;
};

struct ProductAlgorithm {
  cublasLtMatmulAlgo_t algo{};
  int64_t workspace = 0;
  std::string name;
};

// Several threads may run it at once.
class Product {
 public:
  static constexpr int64_t kMostWorkspace = int64_t{32} << 20;

  // `bias` may be null; both stay where they are.
  static Result<Product> make(std::shared_ptr<const CublasLt> lt, const ProductShape& shape, const void* weights,
                              const void* bias);
  // Best first, as the library sees it; each gives the same result in every run.
  Result<std::vector<ProductAlgorithm>> algorithms() const;
  // Bytes that start() needs, wherever they begin.
  static int64_t workspace_bytes(const ProductAlgorithm& algorithm);
  // `add` is read where there is a residual, and may be `to`.
  Status start(const ProductAlgorithm& algorithm, const void* from, const void* add, void* to, std::byte* workspace,
               cudaStream_t stream) const;

 private:
  std::shared_ptr<const CublasLt> lt_;
  const void* weights_ = nullptr;
  bool residual_ = false;
  std::shared_ptr<cublasLtMatmulDescOpaque_t> product_;
  std::shared_ptr<cublasLtMatrixLayoutOpaque_t> w_, x_, y_;
};

}  // namespace fovea::core::cuda
