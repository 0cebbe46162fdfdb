#include "ops/float_class.h"
#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_IsNaN(KernelContext& c) {
  return reference_unary_float(c, [](auto x) -> uint8_t { return std::isnan(x); });
}
Status reference_IsInf(KernelContext& c) {
  const auto& a = c.attrs<IsInfAttrs>();
  return reference_unary_float(
      c, [&](auto x) -> uint8_t { return std::isinf(x) && (x > 0 ? a.detect_positive : a.detect_negative); });
}

}  // namespace fovea::core
