#include "kernels/reference/layout/copy.h"
#include "ops/axis.h"

namespace fovea::core {

Status reference_OneHot(KernelContext& c) {
  const TensorRef &indices = c.in(0), &values = c.in(2);
  const size_t axis = axis_of(c.attrs<AxisAttrs>().axis, indices.rank + 1);
  const int64_t depth = *load<int64_t>(c, c.in(1));
  if (values.count() != 2) return invalid_argument("{} values, expected 2", values.count());
  if (depth < 0) return invalid_argument("depth is {}", depth);
  SmallShape shape;
  for (size_t i = 0; i <= static_cast<size_t>(indices.rank); ++i)
    FOVEA_TRY(shape.push(i < axis ? indices.dims[i] : i == axis ? depth : indices.dims[i - 1]));
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const int64_t* index = load<int64_t>(c, indices);
  const int bytes = element_size(values.dtype);
  StridedBytes off{const_cast<std::byte*>(load_elements(c, values)), {}},
      to{element_buffer(c, c.out()), row_major_strides(shape.span())};
  copy_strided(shape.span(), to, off, bytes, c.threads);
  const int64_t inner = span_product(indices.shape().subspan(axis)), count = indices.count();
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = index[i] < 0 ? index[i] + depth : index[i];
    if (at < 0 || at >= depth) continue;
    const int64_t place = (i / inner * depth + at) * inner + i % inner;
    std::memcpy(to.data + place * bytes, off.data + bytes, static_cast<size_t>(bytes));
  }
  finish_elements(c, c.out(), to.data);
  return {};
}

}  // namespace fovea::core
