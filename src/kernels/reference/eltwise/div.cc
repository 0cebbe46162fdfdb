#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Div(KernelContext& c) {
  bool by_zero = false;
  FOVEA_TRY(reference_binary(c, [&](auto a, auto b) -> decltype(a) {
    using C = decltype(a);
    if constexpr (std::is_integral_v<C>) {
      if (b == 0) {
        by_zero = true;
        return 0;
      }
      if constexpr (std::is_signed_v<C>)
        if (b == -1) return static_cast<C>(0 - static_cast<uint64_t>(a));  // the smallest integer would trap
    }
    return a / b;
  }));
  return by_zero ? invalid_argument("an integer is divided by zero") : Status();
}

}  // namespace fovea::core
