#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Abs(KernelContext& c) {
  return reference_unary(c, [](auto x) {
    using C = decltype(x);
    if constexpr (std::is_floating_point_v<C>) return std::fabs(x);
    else return x < 0 ? static_cast<C>(0 - static_cast<uint64_t>(x)) : x;
  });
}
Status reference_Neg(KernelContext& c) {
  return reference_unary(c, [](auto x) {
    using C = decltype(x);
    if constexpr (std::is_floating_point_v<C>) return -x;
    else return static_cast<C>(0 - static_cast<uint64_t>(x));
  });
}
Status reference_Sign(KernelContext& c) {
  return reference_unary(c, [](auto x) {
    using C = decltype(x);
    return x > 0 ? C(1) : x < 0 ? C(-1) : x;  // zero and NaN are themselves
  });
}
Status reference_Exp(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::exp(x); });
}
Status reference_Log(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::log(x); });
}
Status reference_Sqrt(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::sqrt(x); });
}
Status reference_Reciprocal(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return 1 / x; });
}
Status reference_Erf(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::erf(x); });
}

}  // namespace fovea::core
