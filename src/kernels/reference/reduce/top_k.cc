#include "kernels/reference/reduce/top_k.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/layout/copy.h"
#include "ops/top_k.h"

namespace fovea::core {
namespace {

template <typename C>
struct Ranked {
  C value;
  int64_t index;
};

// Does a come before b? A total order: NaN is larger than every number, of equals the lower index comes first.
template <typename C, bool kLargest>
bool before(const Ranked<C>& a, const Ranked<C>& b) {
  C x = a.value, y = b.value;
  if constexpr (std::is_floating_point_v<C>) {
    const bool nx = std::isnan(x), ny = std::isnan(y);
    if (nx || ny) {
      if (nx && ny) return a.index < b.index;
      return kLargest ? nx : ny;
    }
  }
  if (x != y) return kLargest ? x > y : x < y;
  return a.index < b.index;
}

// The first k of `count` elements with a stride, in order, in best[0..k): a heap whose top is the last of them, so that
// most elements cost one comparison.
template <typename C, bool kLargest>
void select(const C* x, int64_t count, int64_t stride, int64_t k, Ranked<C>* best) {
  int64_t size = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Ranked<C> candidate{x[i * stride], i};
    if (size < k) {
      best[size++] = candidate;
      std::push_heap(best, best + size, before<C, kLargest>);
    } else if (before<C, kLargest>(candidate, best[0])) {
      std::pop_heap(best, best + k, before<C, kLargest>);
      best[k - 1] = candidate;
      std::push_heap(best, best + k, before<C, kLargest>);
    }
  }
  std::sort_heap(best, best + size, before<C, kLargest>);
}

template <typename C>
void top_k(KernelContext& c, size_t axis, int64_t k, bool largest) {
  const TensorRef& x = c.in(0);
  const int64_t size = x.dims[axis], inner = span_product(x.shape().subspan(axis + 1)), rows = x.count() / size;
  const C* from = load<C>(c, x);
  C* values = c.wants(0) ? c.scratch->array<C>(rows * k) : nullptr;
  auto* indices = c.wants(1) ? c.scratch->array<int64_t>(rows * k) : nullptr;
  const int64_t workers = std::min<int64_t>(std::max(c.threads, 1), rows);
  auto* heaps = c.scratch->array<Ranked<C>>(workers * k);
  parallel_for(c.threads, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w) {
      Ranked<C>* best = heaps + w * k;
      for (int64_t r = rows * w / workers; r < rows * (w + 1) / workers; ++r) {
        const int64_t outer = r / inner, column = r % inner;
        const C* row = from + outer * size * inner + column;
        largest ? select<C, true>(row, size, inner, k, best) : select<C, false>(row, size, inner, k, best);
        for (int64_t i = 0; i < k; ++i) {
          const int64_t at = (outer * k + i) * inner + column;
          if (values) values[at] = best[i].value;
          if (indices) indices[at] = best[i].index;
        }
      }
    }
  });
  if (values) store(c, c.out(0), values);
  if (indices) store(c, c.out(1), indices);
}

}  // namespace

Result<int64_t> top_k_outputs(KernelContext& c) {
  const TensorRef& x = c.in(0);
  const size_t axis = axis_of(c.attrs<TopKAttrs>().axis, x.rank);
  const int64_t k = *load<int64_t>(c, c.in(1));
  if (k < 0 || k > x.dims[axis])
    return invalid_argument("k = {} is outside [0, {}], the size of axis {}", k, x.dims[axis], axis);
  SmallShape shape = SmallShape::of(x);
  shape[axis] = k;
  for (size_t i = 0; i < 2; ++i)
    if (c.wants(i)) FOVEA_TRY(ensure_shape(c, i, shape.span()));
  return span_product(shape.span()) == 0 ? 0 : k;
}

Status reference_TopK(KernelContext& c) {
  const auto& attrs = c.attrs<TopKAttrs>();
  FOVEA_TRY_SET(const int64_t k, top_k_outputs(c));
  if (k == 0) return {};
  const size_t axis = axis_of(attrs.axis, c.in(0).rank);
  dispatch_compute(c.in(0).dtype, [&](auto tag) { top_k<typename decltype(tag)::type>(c, axis, k, attrs.largest); });
  return {};
}

}  // namespace fovea::core
