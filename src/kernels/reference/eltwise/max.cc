#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Max(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) { return a > b || a != a ? a : b; });  // a != a: NaN wins
}

}  // namespace fovea::core
