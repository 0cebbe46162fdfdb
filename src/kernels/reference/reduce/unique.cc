#include "ops/unique.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/layout/copy.h"

namespace fovea::core {
namespace {

// Slices along the axis as rows of `width` elements each, at rows + i * width.
template <typename C>
int compare_rows(const C* a, const C* b, int64_t width) {
  for (int64_t i = 0; i < width; ++i) {
    if constexpr (std::is_floating_point_v<C>) {  // NaN comes last and equals itself here
      const bool na = std::isnan(a[i]), nb = std::isnan(b[i]);
      if (na != nb) return na ? 1 : -1;
      if (na) continue;
    }
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

struct Groups {
  int64_t count = 0;
  int64_t* first = nullptr;    // of each group, its first slice
  int64_t* inverse = nullptr;  // of each slice, its group
  int64_t* sizes = nullptr;
};

template <typename C>
Groups find_groups(KernelContext& c, const C* rows, int64_t n, int64_t width, bool sorted) {
  Groups g{0, c.scratch->array<int64_t>(n), c.scratch->array<int64_t>(n), c.scratch->array<int64_t>(n)};
  auto *order = c.scratch->array<int64_t>(n), *rank = c.scratch->array<int64_t>(n),
       *place = c.scratch->array<int64_t>(n);
  for (int64_t i = 0; i < n; ++i) order[i] = i;
  std::sort(order, order + n, [&](int64_t a, int64_t b) {
    const int less = compare_rows(rows + a * width, rows + b * width, width);
    return less ? less < 0 : a < b;
  });
  for (int64_t i = 0; i < n; ++i) {
    if (i == 0 || compare_rows(rows + order[i - 1] * width, rows + order[i] * width, width) != 0) {
      g.first[g.count] = order[i], g.sizes[g.count] = 0;
      ++g.count;
    }
    g.inverse[order[i]] = g.count - 1;
    ++g.sizes[g.count - 1];
  }
  if (sorted) return g;
  // By first appearance: rank[j] is the sorted group that comes j-th.
  for (int64_t j = 0; j < g.count; ++j) rank[j] = j;
  std::sort(rank, rank + g.count, [&](int64_t a, int64_t b) { return g.first[a] < g.first[b]; });
  for (int64_t j = 0; j < g.count; ++j) place[rank[j]] = j;
  for (int64_t i = 0; i < n; ++i) g.inverse[i] = place[g.inverse[i]];
  for (int64_t j = 0; j < g.count; ++j) g.sizes[j] = 0;
  for (int64_t i = n; i-- > 0;) g.first[g.inverse[i]] = i, ++g.sizes[g.inverse[i]];
  return g;
}

}  // namespace

Status reference_Unique(KernelContext& c) {
  const auto& attrs = c.attrs<UniqueAttrs>();
  const TensorRef& x = c.in(0);
  const size_t axis = axis_of(attrs.axis, x.rank);
  const int64_t n = x.dims[axis], outer = span_product(x.shape().first(axis)),
                inner = span_product(x.shape().subspan(axis + 1));
  const int64_t width = outer * inner;
  Groups groups;
  dispatch_compute(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* from = load<C>(c, x);
    C* rows = c.scratch->array<C>(n * width);
    for (int64_t i = 0; i < n; ++i)
      for (int64_t o = 0; o < outer; ++o)
        std::copy(from + (o * n + i) * inner, from + (o * n + i + 1) * inner, rows + i * width + o * inner);
    groups = find_groups(c, rows, n, width, attrs.sorted);
  });
  const int64_t sizes[] = {groups.count, n, groups.count};
  const int64_t* results[] = {groups.first, groups.inverse, groups.sizes};
  for (size_t i = 1; i < 4; ++i) {
    if (!c.wants(i)) continue;
    FOVEA_TRY(ensure_shape(c, i, {sizes[i - 1]}));
    store(c, c.out(i), results[i - 1]);
  }
  SmallShape shape = SmallShape::of(x);
  shape[axis] = groups.count;
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const int bytes = element_size(x.dtype);
  const StridedBytes from = readable(c, x), to = writable(c, c.out());
  SmallShape slice = shape;
  slice[axis] = 1;
  for (int64_t i = 0; i < groups.count; ++i)
    copy_strided(slice.span(), to.at(i * to.strides[axis], bytes), from.at(groups.first[i] * from.strides[axis], bytes),
                 bytes, 1);
  finish_writable(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
