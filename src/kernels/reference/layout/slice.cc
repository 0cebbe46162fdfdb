#include "ops/slice.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_Slice(KernelContext& c) {
  const TensorRef& x = c.in(0);
  const int64_t count = c.in(1).dims[0];
  for (size_t i = 1; i < c.inputs.size(); ++i)
    if (c.has(i) && c.in(i).dims[0] != count)
      return invalid_argument("input {} has {} elements, input 1 {}", i, c.in(i).dims[0], count);
  const int64_t *starts = load<int64_t>(c, c.in(1)), *ends = load<int64_t>(c, c.in(2));
  const int64_t *axes = c.has(3) ? load<int64_t>(c, c.in(3)) : nullptr,
                *steps = c.has(4) ? load<int64_t>(c, c.in(4)) : nullptr;
  SmallShape shape = SmallShape::of(x);
  StridedBytes from = readable(c, x);
  std::array<bool, kMaxRank> seen{};
  int64_t offset = 0;
  for (int64_t i = 0; i < count; ++i) {
    int64_t axis = axes ? axes[i] : i;
    FOVEA_TRY(normal_index(axis, x.rank).in("axes"));
    const auto a = static_cast<size_t>(axis);
    const int64_t step = steps ? steps[i] : 1, size = x.dims[a];
    if (step == 0 || seen[a]) return invalid_argument("axis {}: {}", axis, seen[a] ? "given twice" : "the step is 0");
    seen[a] = true;
    const int64_t first = slice_start(starts[i], step, size);
    shape[a] = slice_length(first, ends[i], step, size);
    if (shape[a] == 0) continue;
    offset += first * from.strides[a];
    from.strides[a] = shape[a] == 1 ? 0 : from.strides[a] * step;
  }
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const int bytes = element_size(x.dtype);
  StridedBytes to = writable(c, c.out());
  if (c.out().count() > 0) copy_strided(shape.span(), to, from.at(offset, bytes), bytes, c.threads);
  finish_writable(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
