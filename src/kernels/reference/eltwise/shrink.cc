#include "ops/shrink.h"

#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {
namespace {

// Integers meet attributes that may be fractions: in long double, which holds all 64 bits, and cut towards zero once.
template <typename C>
C shrink(C x, double lambd, double bias) {
  using Wide = std::conditional_t<std::is_integral_v<C>, long double, C>;
  const auto l = static_cast<Wide>(lambd), b = static_cast<Wide>(bias);
  const auto wide = static_cast<Wide>(x);
  if (wide < -l) return static_cast<C>(wide + b);
  if (wide > l) return static_cast<C>(wide - b);
  return 0;  // NaN too: ONNX's "otherwise"
}

}  // namespace

Status reference_Shrink(KernelContext& c) {
  const auto& a = c.attrs<ShrinkAttrs>();
  return reference_unary(c, [&](auto x) { return shrink(x, a.lambd, a.bias); });
}

}  // namespace fovea::core
