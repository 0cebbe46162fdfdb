// Chains of element-wise operators: one kernel, written for the chain and compiled at run time, reads every operand
// once and writes the result once. A reduction or a softmax behind the chain, and what follows it, is in the same
// kernel.
#include "kernels/cuda/eltwise/chain_launch.h"

namespace fovea::core {

#define FOVEA_CHAIN(symbol, Op)                 \
  const KernelRow kernel_nvrtc_chain_##symbol = \
      cuda::chain::row("nvrtc_chain_" #symbol, #Op, /*in_place=*/true, /*preference=*/4);
FOVEA_CHAIN(add, Add)
FOVEA_CHAIN(sub, Sub)
FOVEA_CHAIN(mul, Mul)
FOVEA_CHAIN(div, Div)
FOVEA_CHAIN(max, Max)
FOVEA_CHAIN(min, Min)
FOVEA_CHAIN(pow, Pow)
FOVEA_CHAIN(prelu, PRelu)
FOVEA_CHAIN(relu, Relu)
FOVEA_CHAIN(clip, Clip)
FOVEA_CHAIN(sigmoid, Sigmoid)
FOVEA_CHAIN(exp, Exp)
FOVEA_CHAIN(log, Log)
FOVEA_CHAIN(sqrt, Sqrt)
FOVEA_CHAIN(erf, Erf)
FOVEA_CHAIN(neg, Neg)
FOVEA_CHAIN(abs, Abs)
FOVEA_CHAIN(sign, Sign)
FOVEA_CHAIN(floor, Floor)
FOVEA_CHAIN(ceil, Ceil)
FOVEA_CHAIN(round, Round)
FOVEA_CHAIN(reciprocal, Reciprocal)
FOVEA_CHAIN(tanh, Tanh)
FOVEA_CHAIN(hard_sigmoid, HardSigmoid)
FOVEA_CHAIN(hard_swish, HardSwish)
FOVEA_CHAIN(leaky_relu, LeakyRelu)
FOVEA_CHAIN(swish, Swish)
FOVEA_CHAIN(elu, Elu)
FOVEA_CHAIN(celu, Celu)
FOVEA_CHAIN(selu, Selu)
FOVEA_CHAIN(thresholded_relu, ThresholdedRelu)
FOVEA_CHAIN(softplus, Softplus)
FOVEA_CHAIN(softsign, Softsign)
FOVEA_CHAIN(mish, Mish)
FOVEA_CHAIN(gelu, Gelu)
FOVEA_CHAIN(equal, Equal)
FOVEA_CHAIN(greater, Greater)
FOVEA_CHAIN(greater_or_equal, GreaterOrEqual)
FOVEA_CHAIN(less, Less)
FOVEA_CHAIN(less_or_equal, LessOrEqual)
FOVEA_CHAIN(and, And)
FOVEA_CHAIN(or, Or)
FOVEA_CHAIN(xor, Xor)
FOVEA_CHAIN(not, Not)
FOVEA_CHAIN(where, Where)
FOVEA_CHAIN(cast, Cast)
#undef FOVEA_CHAIN

}  // namespace fovea::core
