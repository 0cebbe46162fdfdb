#include "kernels/reference/eltwise/eltwise.h"

namespace fovea::core {
namespace {

uint64_t integer_power(uint64_t base, uint64_t exponent) {
  uint64_t result = 1;
  for (; exponent; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

template <typename C, typename E, typename F>
void apply(KernelContext& c, F f) {
  const C* x = load<C>(c, c.in(0));
  const E* exponent = load<E>(c, c.in(1));
  C* y = result_buffer<C>(c, c.out());
  apply_broadcast(c.out().shape(), c.in(0).shape(), c.in(1).shape(), x, exponent, y, f);
  finish(c, c.out(), y);
}

// Negative powers of integers are fractions, cut off as an integer division cuts them.
template <typename C>
C negative_power(C x, int64_t exponent) {
  if (x == 1) return 1;
  if constexpr (std::is_signed_v<C>)
    if (x == -1) return exponent % 2 ? -1 : 1;
  return 0;
}

template <typename C>
void integer_base(KernelContext& c) {
  if (is_float(c.in(1).dtype)) {
    apply<double, double>(c, [](double x, double e) { return std::pow(x, e); });
    return;
  }
  apply<C, int64_t>(c, [](C x, int64_t e) {
    return e < 0 ? negative_power(x, e)
                 : static_cast<C>(integer_power(static_cast<uint64_t>(x), static_cast<uint64_t>(e)));
  });
}

}  // namespace

Status reference_Pow(KernelContext& c) {
  FOVEA_TRY(check_broadcast(c));
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<C>) integer_base<C>(c);
    else apply<C, C>(c, [](C x, C e) { return std::pow(x, e); });
  });
  return {};
}

}  // namespace fovea::core
