// Reductions over any axes with the element-wise operators behind them, compiled at run time. Those in front of a
// reduction begin a chain's group (eltwise/chain.cc).
#include "kernels/cuda/eltwise/chain_launch.h"

namespace fovea::core {

#define FOVEA_REDUCE(symbol, Op)                 \
  const KernelRow kernel_nvrtc_reduce_##symbol = \
      cuda::chain::row("nvrtc_reduce_" #symbol, #Op, /*in_place=*/false, /*preference=*/4);
FOVEA_REDUCE(sum, ReduceSum)
FOVEA_REDUCE(mean, ReduceMean)
FOVEA_REDUCE(max, ReduceMax)
FOVEA_REDUCE(min, ReduceMin)
FOVEA_REDUCE(prod, ReduceProd)
FOVEA_REDUCE(l1, ReduceL1)
FOVEA_REDUCE(l2, ReduceL2)
FOVEA_REDUCE(sum_square, ReduceSumSquare)
FOVEA_REDUCE(log_sum, ReduceLogSum)
FOVEA_REDUCE(log_sum_exp, ReduceLogSumExp)
#undef FOVEA_REDUCE

}  // namespace fovea::core
