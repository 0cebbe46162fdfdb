#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Floor(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::floor(x); });
}
Status reference_Ceil(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::ceil(x); });
}
Status reference_Round(KernelContext& c) {
  return reference_unary_float(c, [](auto x) { return std::nearbyint(x); });  // halves to even
}

}  // namespace fovea::core
