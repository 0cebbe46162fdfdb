#include "kernels/cuda/conv/two_products.cuh"

namespace fovea::core::cuda {

cudaError_t two_products_128x128(const TwoProductsArgs& args, cudaStream_t stream) {
  return TwoProducts<128, 128, 1, PingPong>::run(args, stream);
}

}  // namespace fovea::core::cuda
