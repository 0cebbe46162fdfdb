#include "kernels/cuda/conv/few_channels.h"

#include "kernels/cuda/conv/few_channels.cuh"

namespace fovea::core::cuda {
namespace {

using Kernel = void (*)(FewChannelsArgs);

template <typename In, typename Factors, bool kPooled>
Kernel of_eights(int eights) {
  if (eights == 8) return few_channels_kernel<In, Factors, 8, kPooled>;
  if (eights == 4) return few_channels_kernel<In, Factors, 4, kPooled>;
  return few_channels_kernel<In, Factors, 2, kPooled>;
}

template <bool kPooled>
Kernel of_types(const FewChannelsArgs& a) {
  if (!a.half) return of_eights<float, Tf32Factors, kPooled>(a.eights);
  if (a.half_input) return of_eights<__half, HalfFactors, kPooled>(a.eights);
  return of_eights<float, HalfFactors, kPooled>(a.eights);
}

Kernel kernel_of(const FewChannelsArgs& a) { return a.pooled ? of_types<true>(a) : of_types<false>(a); }

}  // namespace

cudaError_t few_channels_blocks(const FewChannelsArgs& args, int most_shared, int* blocks) {
  const auto kernel = reinterpret_cast<const void*>(kernel_of(args));
  // All that there is: other shapes run the same kernel.
  if (auto e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared); e != cudaSuccess)
    return e;
  const auto bytes = static_cast<size_t>(args.places.end);
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, kFewThreads, bytes);
}

cudaError_t few_channels_conv(const FewChannelsArgs& args, int blocks, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(args.groups));
  kernel_of(args)<<<grid, kFewThreads, static_cast<size_t>(args.places.end), stream>>>(args);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
