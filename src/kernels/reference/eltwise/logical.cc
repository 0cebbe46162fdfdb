#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {
namespace {

template <typename F>
Status binary(KernelContext& c, F f) {
  FOVEA_TRY(check_broadcast(c));
  apply_binary<uint8_t>(c, f);
  return {};
}

}  // namespace

Status reference_And(KernelContext& c) {
  return binary(c, [](uint8_t a, uint8_t b) -> uint8_t { return a && b; });
}
Status reference_Or(KernelContext& c) {
  return binary(c, [](uint8_t a, uint8_t b) -> uint8_t { return a || b; });
}
Status reference_Xor(KernelContext& c) {
  return binary(c, [](uint8_t a, uint8_t b) -> uint8_t { return !a != !b; });
}
Status reference_Not(KernelContext& c) {
  apply_unary<uint8_t>(c, [](uint8_t a) -> uint8_t { return !a; });
  return {};
}

}  // namespace fovea::core
