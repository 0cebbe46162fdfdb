#include "kernels/reference/layout/copy.h"
#include "ops/axis.h"

namespace fovea::core {

Status reference_Gather(KernelContext& c) {
  const TensorRef &x = c.in(0), &indices = c.in(1);
  const size_t axis = axis_of(c.attrs<AxisAttrs>().axis, x.rank);
  SmallShape shape = SmallShape::of(x);
  shape.rank = axis;
  for (int64_t d : indices.shape()) FOVEA_TRY(shape.push(d));
  for (int64_t d : x.shape().subspan(axis + 1)) FOVEA_TRY(shape.push(d));
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const int64_t picks = indices.count(), rows = x.dims[axis], outer = span_product(x.shape().first(axis));
  auto* index = c.scratch->array<int64_t>(picks);
  const int64_t* given = load<int64_t>(c, indices);
  for (int64_t i = 0; i < picks; ++i) {
    index[i] = given[i];
    FOVEA_TRY(normal_index(index[i], rows));
  }
  const auto bytes = span_product(x.shape().subspan(axis + 1)) * element_size(x.dtype);
  if (bytes == 0 || outer == 0 || picks == 0) return {};
  const std::byte* from = load_elements(c, x);
  std::byte* to = element_buffer(c, c.out());
  parallel_for(c.threads, outer * picks, std::max<int64_t>(1, (1 << 16) / bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * bytes, from + (i / picks * rows + index[i % picks]) * bytes, static_cast<size_t>(bytes));
  });
  finish_elements(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
