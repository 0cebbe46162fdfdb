#include "ops/mod.h"
#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {
namespace {

// The sign of the result is the divisor's, zeros included.
template <typename C>
C floor_mod(C a, C b) {
  C r = std::fmod(a, b);
  if (r == 0) return std::copysign(r, b);
  return (r < 0) != (b < 0) ? r + b : r;
}

}  // namespace

Status reference_Mod(KernelContext& c) {
  const bool truncate = c.attrs<ModAttrs>().fmod;
  bool by_zero = false;
  FOVEA_TRY(reference_binary(c, [&](auto a, auto b) -> decltype(a) {
    using C = decltype(a);
    if constexpr (std::is_integral_v<C>) {
      if (b == 0) {
        by_zero = true;
        return 0;
      }
      if constexpr (std::is_signed_v<C>)
        if (b == -1) return 0;  // the smallest integer would trap
      C r = a % b;
      return !truncate && r != 0 && (r < 0) != (b < 0) ? r + b : r;
    } else {
      return truncate ? std::fmod(a, b) : floor_mod(a, b);
    }
  }));
  return by_zero ? invalid_argument("the remainder of a division by zero") : Status();
}

}  // namespace fovea::core
