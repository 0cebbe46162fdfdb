#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Equal(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) -> uint8_t { return a == b; });
}
Status reference_Greater(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) -> uint8_t { return a > b; });
}
Status reference_GreaterOrEqual(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) -> uint8_t { return a >= b; });
}
Status reference_Less(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) -> uint8_t { return a < b; });
}
Status reference_LessOrEqual(KernelContext& c) {
  return reference_binary(c, [](auto a, auto b) -> uint8_t { return a <= b; });
}

}  // namespace fovea::core
