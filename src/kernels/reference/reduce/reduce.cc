#include "ops/reduce.h"

#include <cmath>

#include "kernels/reference/gemm/product.h"
#include "kernels/reference/reduce/limits.h"

namespace fovea::core {
namespace {

// The input's axes, kept and reduced ones apart; the innermost reduced axis is a loop of its own.
struct Axes {
  std::array<int64_t, kMaxRank> kept{}, kept_strides{}, outer{}, outer_strides{};
  size_t kept_rank = 0, outer_rank = 0;
  int64_t inner = 1, inner_stride = 0, count = 1;  // count: elements of one reduction

  Axes(const TensorRef& x, const ReduceAttrs& attrs) {
    const auto strides = row_major_strides(x.shape());
    for (size_t i = 0; i < static_cast<size_t>(x.rank); ++i) {
      if (std::find(attrs.axes.begin(), attrs.axes.end(), static_cast<int64_t>(i)) == attrs.axes.end()) {
        kept[kept_rank] = x.dims[i], kept_strides[kept_rank++] = strides[i];
      } else {
        outer[outer_rank] = x.dims[i], outer_strides[outer_rank++] = strides[i];
        count *= x.dims[i];
      }
    }
    if (outer_rank > 0) --outer_rank, inner = outer[outer_rank], inner_stride = outer_strides[outer_rank];
  }
};

// y = finish(state after step(state, x) for every x of the reduction)
template <typename C, typename State, typename Step, typename Finish>
void reduce(KernelContext& c, const State& initial, Step step, Finish finish_state) {
  const C* x = load<C>(c, c.in(0));
  C* y = result_buffer<C>(c, c.out());
  const Axes axes(c.in(0), c.attrs<ReduceAttrs>());
  Walker kept(std::span(axes.kept).first(axes.kept_rank), {axes.kept_strides});
  for (int64_t i = 0; i < kept.count(); ++i, kept.next()) {
    State state = initial;
    Walker outer(std::span(axes.outer).first(axes.outer_rank), {axes.outer_strides});
    for (int64_t k = 0; k < outer.count(); ++k, outer.next()) {
      const C* p = x + kept.offset(0) + outer.offset(0);
      for (int64_t j = 0; j < axes.inner; ++j) step(state, p[j * axes.inner_stride]);
    }
    y[i] = finish_state(state, axes.count);
  }
  finish(c, c.out(), y);
}

// A sum of f(x), and g of it: in double, of integers modulo 2^64.
template <typename F, typename G>
Status reduce_sum(KernelContext& c, F f, G g) {
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    using S = Sum<C>;
    reduce<C>(
        c, S(0), [&](S& sum, C x) { sum += f(static_cast<S>(x)); },
        [&](S sum, int64_t count) { return static_cast<C>(g(sum, count, C())); });
  });
  return {};
}

template <typename S>
S magnitude(S x) {
  if constexpr (std::is_floating_point_v<S>) return std::fabs(x);
  else return static_cast<int64_t>(x) < 0 ? S(0) - x : x;
}
// A sum as a number again: wrapped integers have the sign of their type.
template <typename S, typename C>
double number(S sum, C) {
  return static_cast<double>(static_cast<std::conditional_t<std::is_integral_v<C>, C, S>>(sum));
}
constexpr auto kItself = [](auto sum, int64_t, auto) { return sum; };

// The logarithm of a sum of exponentials, kept as m and sum of exp(x - m), m being the largest x so far.
struct LogSumExp {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  void add(double x) {
    if (x > largest) sum = sum * std::exp(largest - x) + 1, largest = x;
    else sum += x == largest ? 1 : std::exp(x - largest);
  }
  double value() const { return largest + std::log(sum); }
};

}  // namespace

Status reference_ReduceSum(KernelContext& c) {
  return reduce_sum(
      c, [](auto x) { return x; }, kItself);
}
Status reference_ReduceSumSquare(KernelContext& c) {
  return reduce_sum(
      c, [](auto x) { return x * x; }, kItself);
}
Status reference_ReduceL1(KernelContext& c) {
  return reduce_sum(
      c, [](auto x) { return magnitude(x); }, kItself);
}
Status reference_ReduceL2(KernelContext& c) {
  return reduce_sum(
      c, [](auto x) { return x * x; }, [](auto sum, int64_t, auto type) { return std::sqrt(number(sum, type)); });
}
Status reference_ReduceLogSum(KernelContext& c) {
  return reduce_sum(
      c, [](auto x) { return x; }, [](auto sum, int64_t, auto type) { return std::log(number(sum, type)); });
}
Status reference_ReduceMean(KernelContext& c) {
  if (!is_float(c.in(0).dtype) && c.in(0).count() == 0 && c.out().count() > 0)
    return invalid_argument("the mean of no integers");
  return reduce_sum(
      c, [](auto x) { return x; },
      [](auto sum, int64_t count, auto type) {
        using C = decltype(type);
        if constexpr (std::is_floating_point_v<C>) return sum / static_cast<double>(count);
        else return static_cast<C>(sum) / static_cast<C>(count);
      });
}
Status reference_ReduceProd(KernelContext& c) {
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    using S = Sum<C>;
    reduce<C>(
        c, S(1), [](S& product, C x) { product *= static_cast<S>(x); },
        [](S product, int64_t) { return static_cast<C>(product); });
  });
  return {};
}
Status reference_ReduceMax(KernelContext& c) {
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    reduce<C>(
        c, lowest_of<C>(c.in(0).dtype), [](C& m, C x) { m = x > m || x != x ? x : m; }, [](C m, int64_t) { return m; });
  });
  return {};
}
Status reference_ReduceMin(KernelContext& c) {
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    reduce<C>(
        c, highest_of<C>(c.in(0).dtype), [](C& m, C x) { m = x < m || x != x ? x : m; },
        [](C m, int64_t) { return m; });
  });
  return {};
}
Status reference_ReduceLogSumExp(KernelContext& c) {
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    reduce<C>(
        c, LogSumExp(), [](LogSumExp& s, C x) { s.add(static_cast<double>(x)); },
        [](const LogSumExp& s, int64_t) { return static_cast<C>(s.value()); });
  });
  return {};
}

}  // namespace fovea::core
