#include "kernels/cuda/conv/two_products.cuh"

namespace fovea::core::cuda {

cudaError_t two_products_256x128(const TwoProductsArgs& args, cudaStream_t stream) {
  return TwoProducts<256, 128, 2, Cooperative>::run(args, stream);
}

}  // namespace fovea::core::cuda
