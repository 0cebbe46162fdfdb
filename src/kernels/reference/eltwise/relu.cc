#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Relu(KernelContext& c) {
  return reference_unary(c, [](auto x) { return x < 0 ? decltype(x)(0) : x; });  // NaN passes
}

}  // namespace fovea::core
