#include "ops/bitwise.h"
#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {
namespace {

// f(a, b) on the bits; the compute types of integers are both 64 bits wide.
template <typename F>
Status binary(KernelContext& c, F f) {
  FOVEA_TRY(check_broadcast(c));
  if (c.in(0).dtype == DType::kUInt64) apply_binary<uint64_t>(c, f);
  else apply_binary<int64_t>(c, f);
  return {};
}

}  // namespace

// Shifts by a negative amount or past the width leave the sign bit alone.
Status reference_BitShift(KernelContext& c) {
  const bool left = c.attrs<BitShiftAttrs>().direction == ShiftDirection::kLeft;
  const int64_t width = dtype_bits(c.in(0).dtype);
  return binary(c, [=](auto x, auto by) -> decltype(x) {
    using C = decltype(x);
    const bool outside = by < 0 || static_cast<uint64_t>(by) >= static_cast<uint64_t>(width);
    if (left) return outside ? C(0) : static_cast<C>(static_cast<uint64_t>(x) << by);
    return outside ? C(x < 0 ? -1 : 0) : static_cast<C>(x >> by);
  });
}
Status reference_BitwiseAnd(KernelContext& c) {
  return binary(c, [](auto a, auto b) { return a & b; });
}
Status reference_BitwiseOr(KernelContext& c) {
  return binary(c, [](auto a, auto b) { return a | b; });
}
Status reference_BitwiseXor(KernelContext& c) {
  return binary(c, [](auto a, auto b) { return a ^ b; });
}
Status reference_BitwiseNot(KernelContext& c) {
  if (c.in(0).dtype == DType::kUInt64) apply_unary<uint64_t>(c, [](uint64_t a) { return ~a; });
  else apply_unary<int64_t>(c, [](int64_t a) { return ~a; });
  return {};
}

}  // namespace fovea::core
