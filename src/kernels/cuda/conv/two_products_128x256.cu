#include "kernels/cuda/conv/two_products.cuh"

namespace fovea::core::cuda {

cudaError_t two_products_128x256(const TwoProductsArgs& args, cudaStream_t stream) {
  return TwoProducts<128, 256, 2, Cooperative>::run(args, stream);
}

}  // namespace fovea::core::cuda
