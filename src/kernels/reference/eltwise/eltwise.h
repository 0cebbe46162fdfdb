// Loops that element-wise reference kernels share. f is generic over the compute type.
#pragma once

#include "kernels/reference/reference.h"

namespace fovea {

template <typename F>
Status reference_unary(KernelContext& c, F f) {
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* x = load<C>(c, c.in(0));
    C* y = result_buffer<C>(c, c.out());
    for (int64_t i = 0; i < c.out().count(); ++i) y[i] = f(x[i]);
    finish(c, c.out(), y);
  });
  return {};
}

// f(a, b) -> compute type; the output may have another dtype (comparisons give bool through R = uint8_t).
template <typename F>
Status reference_binary(KernelContext& c, F f) {
  const auto shape = c.out().shape();
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C *a = load<C>(c, c.in(0)), *b = load<C>(c, c.in(1));
    using R = decltype(f(*a, *b));
    R* y = result_buffer<R>(c, c.out());
    Walker w(shape, {broadcast_strides(c.in(0).shape(), shape), broadcast_strides(c.in(1).shape(), shape)});
    for (int64_t i = 0; i < w.count(); ++i, w.next()) y[i] = f(a[w.offset(0)], b[w.offset(1)]);
    finish(c, c.out(), y);
  });
  return {};
}

}  // namespace fovea
