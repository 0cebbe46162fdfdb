#include "kernels/reference/layout/copy.h"
#include "ops/axis.h"

namespace fovea::core {

Status reference_Compress(KernelContext& c) {
  const TensorRef& x = c.in(0);
  const size_t axis = axis_of(c.attrs<AxisAttrs>().axis, x.rank);
  const uint8_t* keep = load<uint8_t>(c, c.in(1));
  const int64_t size = x.dims[axis], length = c.in(1).count();
  auto* index = c.scratch->array<int64_t>(std::min(size, length));
  int64_t kept = 0;
  for (int64_t i = 0; i < length; ++i) {
    if (!keep[i]) continue;
    if (i >= size) return invalid_argument("condition {} holds, but the axis has {} slices", i, size);
    index[kept++] = i;
  }
  SmallShape shape = SmallShape::of(x);
  shape[axis] = kept;
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const int64_t bytes = span_product(x.shape().subspan(axis + 1)) * element_size(x.dtype),
                outer = span_product(x.shape().first(axis));
  if (bytes == 0 || outer == 0 || kept == 0) return {};
  const std::byte* from = load_elements(c, x);
  std::byte* to = element_buffer(c, c.out());
  for (int64_t i = 0; i < outer * kept; ++i)
    std::memcpy(to + i * bytes, from + (i / kept * size + index[i % kept]) * bytes, static_cast<size_t>(bytes));
  finish_elements(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
