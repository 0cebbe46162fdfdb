#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_PRelu(KernelContext& c) {
  return reference_binary(c, [](auto x, auto slope) {
    using W = Wrapping<decltype(x)>;
    return x < 0 ? static_cast<decltype(x)>(W(x) * W(slope)) : x;
  });
}

}  // namespace fovea::core
