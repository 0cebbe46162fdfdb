#include "kernels/reference/layout/copy.h"
#include "ops/axis.h"

namespace fovea::core {

Status reference_Split(KernelContext& c) {
  const TensorRef& x = c.in(0);
  const size_t axis = axis_of(c.attrs<AxisAttrs>().axis, x.rank);
  const auto parts = static_cast<int64_t>(c.outputs.size());
  const int64_t total = x.dims[axis], *given = c.has(1) ? load<int64_t>(c, c.in(1)) : nullptr;
  if (given && c.in(1).dims[0] != parts) return invalid_argument("{} sizes for {} outputs", c.in(1).dims[0], parts);
  const int bytes = element_size(x.dtype);
  const StridedBytes from = readable(c, x);
  int64_t at = 0;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t equal = i + 1 < parts ? (total + parts - 1) / parts : total - at, size = given ? given[i] : equal;
    if (size < 0 || size > total - at)
      return invalid_argument("part {} of {} elements, {} of {} are left", i, size, total - at, total);
    const auto k = static_cast<size_t>(i);
    if (c.wants(k)) {
      SmallShape shape = SmallShape::of(x);
      shape[axis] = size;
      FOVEA_TRY(ensure_shape(c, k, shape.span()));
      StridedBytes to = writable(c, c.out(k));
      if (c.out(k).count() > 0)
        copy_strided(shape.span(), to, from.at(at * from.strides[axis], bytes), bytes, c.threads);
      finish_writable(c, c.out(k), to);
    }
    at += size;
  }
  if (at != total) return invalid_argument("the parts have {} elements together, the axis {}", at, total);
  return {};
}

}  // namespace fovea::core
