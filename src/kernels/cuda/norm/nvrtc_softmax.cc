// Softmax and its logarithm with the element-wise operators behind them, compiled at run time. Those in front begin a
// chain's group (eltwise/chain.cc); for a softmax alone softmax.cu is there too.
#include "kernels/cuda/common.h"
#include "kernels/cuda/eltwise/chain_launch.h"
#include "kernels/cuda/eltwise/chain_match.h"

namespace fovea::core {

#define FOVEA_SOFTMAX(symbol, Op)                                           \
  const KernelRow kernel_nvrtc_##symbol = {.name = "nvrtc_" #symbol,        \
                                           .op = #Op,                       \
                                           .strided_inputs = true,          \
                                           .in_place = true,                \
                                           .place = Place::kDevice,         \
                                           .match = cuda::chain::match,     \
                                           .refuse = cuda::chain::refuse,   \
                                           .formats = cuda::chain::formats, \
                                           .prepare = cuda::chain::prepare, \
                                           .preference = 3};
FOVEA_SOFTMAX(softmax, Softmax)
FOVEA_SOFTMAX(log_softmax, LogSoftmax)
#undef FOVEA_SOFTMAX

}  // namespace fovea::core
