#include "ops/cum_sum.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_CumSum(KernelContext& c) {
  const auto& attrs = c.attrs<CumSumAttrs>();
  const TensorRef& x = c.in(0);
  FOVEA_TRY(ensure_shape(c, 0, x.shape()));
  const size_t axis = axis_of(attrs.axis, x.rank);
  const int64_t size = x.dims[axis], inner = span_product(x.shape().subspan(axis + 1));
  if (x.count() == 0) return {};
  dispatch_compute(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = std::conditional_t<std::is_integral_v<T>, uint64_t, double>;  // integers wrap, floats sum in float64
    const C* from = load<C>(c, x);
    C* to = c.scratch->array<C>(x.count());
    for (int64_t i = 0; i < x.count() / size; ++i) {
      const int64_t first = i / inner * size * inner + i % inner;
      C sum = 0;
      for (int64_t k = 0; k < size; ++k) {
        const int64_t at = first + (attrs.reverse ? size - 1 - k : k) * inner;
        if (attrs.exclusive) to[at] = sum;
        sum += from[at];
        if (!attrs.exclusive) to[at] = sum;
      }
    }
    store(c, c.out(), to);
  });
  return {};
}

}  // namespace fovea::core
