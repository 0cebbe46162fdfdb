// Loops that element-wise reference kernels share. f is generic over the compute type.
#pragma once

#include <cmath>

#include "kernels/reference/reference.h"

namespace fovea::core {

// Integer arithmetic wraps: it is done without a sign.
template <typename C>
using Wrapping = std::conditional_t<std::is_same_v<C, int64_t>, uint64_t, C>;

inline constexpr int64_t kEltwiseGrain = 16384;  // elements worth a thread

// y[i] = f(x[i]) in compute type C; the result's type decides how it is stored.
template <typename C, typename F>
void apply_unary(KernelContext& c, F f) {
  const C* x = load<C>(c, c.in(0));
  using R = decltype(f(*x));
  R* y = result_buffer<R>(c, c.out());
  parallel_for(c.threads, c.out().count(), kEltwiseGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
  });
  finish(c, c.out(), y);
}

template <typename F>
Status reference_unary(KernelContext& c, F f) {
  dispatch_compute(c.in(0).dtype, [&](auto tag) { apply_unary<typename decltype(tag)::type>(c, f); });
  return {};
}

// Of floating-point numbers only: f need not compile for integers.
template <typename F>
Status reference_unary_float(KernelContext& c, F f) {
  if (c.in(0).dtype == DType::kFloat64) apply_unary<double>(c, f);
  else apply_unary<float>(c, f);
  return {};
}

// Sizes that were symbols when the model was compiled meet here for the first time.
inline Status check_broadcast(const KernelContext& c, size_t inputs = 2) {
  const TensorRef& y = c.out();
  for (size_t i = 0; i < inputs; ++i) {
    const TensorRef& x = c.in(i);
    bool ok = x.rank <= y.rank;
    for (int d = 0; ok && d < x.rank; ++d) {
      const int64_t size = x.dims[static_cast<size_t>(d)], to = y.dims[static_cast<size_t>(d + y.rank - x.rank)];
      ok = size == to || size == 1;
    }
    if (!ok)
      return invalid_argument("input {} cannot be broadcast: its shape is [{}], the output's [{}]", i,
                              fmt::join(x.shape(), ","), fmt::join(y.shape(), ","));
  }
  return {};
}

// y[i] = f(a[..], b[..]), a and b broadcast to `shape`.
template <typename A, typename B, typename R, typename F>
void apply_broadcast(std::span<const int64_t> shape, std::span<const int64_t> a_shape, std::span<const int64_t> b_shape,
                     const A* a, const B* b, R* y, F f) {
  const auto sa = broadcast_strides(a_shape, shape), sb = broadcast_strides(b_shape, shape);
  if (shape.empty()) {
    *y = f(*a, *b);
    return;
  }
  const size_t last = shape.size() - 1;
  const int64_t run = shape[last], step_a = sa[last], step_b = sb[last];
  Walker w(shape.first(last), {sa, sb});
  for (int64_t row = 0; row < w.count(); ++row, w.next(), y += run) {
    const A* pa = a + w.offset(0);
    const B* pb = b + w.offset(1);
    for (int64_t i = 0; i < run; ++i) y[i] = f(pa[i * step_a], pb[i * step_b]);
  }
}

template <typename C, typename F>
void apply_binary(KernelContext& c, F f) {
  const C *a = load<C>(c, c.in(0)), *b = load<C>(c, c.in(1));
  using R = decltype(f(*a, *b));
  R* y = result_buffer<R>(c, c.out());
  apply_broadcast(c.out().shape(), c.in(0).shape(), c.in(1).shape(), a, b, y, f);
  finish(c, c.out(), y);
}

// f(a, b) -> compute type; the output may have another dtype (comparisons give bool through R = uint8_t).
template <typename F>
Status reference_binary(KernelContext& c, F f) {
  FOVEA_TRY(check_broadcast(c));
  dispatch_compute(c.in(0).dtype, [&](auto tag) { apply_binary<typename decltype(tag)::type>(c, f); });
  return {};
}

}  // namespace fovea::core
