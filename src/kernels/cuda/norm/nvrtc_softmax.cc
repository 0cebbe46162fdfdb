// Softmax and its logarithm with the element-wise operators behind them, compiled at run time. Those in front begin a
// chain's group (eltwise/chain.cc); for a softmax alone softmax.cu is there too.
#include "kernels/cuda/eltwise/chain_launch.h"

namespace fovea::core {

#define FOVEA_SOFTMAX(symbol, Op) \
  const KernelRow kernel_nvrtc_##symbol = cuda::chain::row("nvrtc_" #symbol, #Op, /*in_place=*/true, /*preference=*/3);
FOVEA_SOFTMAX(softmax, Softmax)
FOVEA_SOFTMAX(log_softmax, LogSoftmax)
#undef FOVEA_SOFTMAX

}  // namespace fovea::core
