#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Mul(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) {
    using W = Wrapping<decltype(a)>;
    return static_cast<decltype(a)>(W(a) * W(b));
  });
}

}  // namespace fovea::core
