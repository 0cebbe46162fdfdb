#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {

Status reference_Clip(KernelContext& c) {
  for (size_t i = 1; i <= 2; ++i)
    if (c.has(i) && c.in(i).count() != 1)
      return invalid_argument("input {}: expected one number, found {}", i, c.in(i).count());
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* low = c.has(1) ? load<C>(c, c.in(1)) : nullptr;
    const C* high = c.has(2) ? load<C>(c, c.in(2)) : nullptr;
    apply_unary<C>(c, [=](C x) {
      if (low && x < *low) x = *low;
      return high && x > *high ? *high : x;  // the upper bound wins where they cross
    });
  });
  return {};
}

}  // namespace fovea::core
