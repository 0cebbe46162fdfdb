#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Sin(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::sin(x); });
}
Status reference_Cos(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::cos(x); });
}
Status reference_Tan(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::tan(x); });
}
Status reference_Asin(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::asin(x); });
}
Status reference_Acos(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::acos(x); });
}
Status reference_Atan(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::atan(x); });
}
Status reference_Sinh(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::sinh(x); });
}
Status reference_Cosh(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::cosh(x); });
}
Status reference_Asinh(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::asinh(x); });
}
Status reference_Acosh(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::acosh(x); });
}
Status reference_Atanh(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::atanh(x); });
}

}  // namespace fovea::core
