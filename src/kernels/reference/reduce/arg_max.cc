#include "ops/arg_max.h"

#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

// better(a, b): does a win against b, if they differ?
template <typename F>
Status arg_best(KernelContext& c, F better) {
  const auto& attrs = c.attrs<ArgMaxAttrs>();
  const TensorRef& x = c.in(0);
  const auto axis = static_cast<size_t>(attrs.axis < 0 ? attrs.axis + x.rank : attrs.axis);
  const int64_t size = x.dims[axis], inner = row_major_strides(x.shape())[axis];
  if (size == 0 && c.out().count() > 0) return invalid_argument("no element along axis {}", attrs.axis);
  int64_t* y = result_buffer<int64_t>(c, c.out());
  dispatch_compute(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* p = load<C>(c, x);
    for (int64_t o = 0; o < c.out().count(); ++o) {
      const C* line = p + o / inner * inner * size + o % inner;
      int64_t best = 0;
      for (int64_t k = 1; k < size; ++k) {
        const C a = line[k * inner], b = line[best * inner];
        if (b != b) break;
        if (a != a || better(a, b) || (attrs.select_last_index && a == b)) best = k;
      }
      y[o] = best;
    }
  });
  finish(c, c.out(), y);
  return {};
}

}  // namespace

Status reference_ArgMax(KernelContext& c) {
  return arg_best(c, [](auto a, auto b) { return a > b; });
}
Status reference_ArgMin(KernelContext& c) {
  return arg_best(c, [](auto a, auto b) { return a < b; });
}

}  // namespace fovea::core
