#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_Tile(KernelContext& c) {
  const TensorRef& x = c.in(0);
  if (c.in(1).dims[0] != x.rank) return invalid_argument("{} repeats for an input of rank {}", c.in(1).dims[0], x.rank);
  const int64_t* repeats = load<int64_t>(c, c.in(1));
  SmallShape shape = SmallShape::of(x);
  for (size_t i = 0; i < shape.rank; ++i) {
    if (repeats[i] < 0 || __builtin_mul_overflow(shape[i], repeats[i], &shape[i]))
      return invalid_argument("repeat {} of dimension {}", repeats[i], i);
  }
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const TensorRef& y = c.out();
  if (y.count() == 0) return {};
  // The input goes to the first corner; then each dimension, from the last one, is filled by copies of its first part.
  const int size = element_size(x.dtype);
  StridedBytes to{element_buffer(c, y), row_major_strides(y.shape())};
  copy_strided(x.shape(), to, readable(c, x), size, c.threads);
  for (size_t axis = shape.rank; axis-- > 0;) {
    const auto part = static_cast<size_t>(x.dims[axis] * to.strides[axis] * size);
    SmallShape before = SmallShape::of(x);
    before.rank = axis;
    Walker w(before.span(), {to.strides});
    for (int64_t i = 0; i < w.count(); ++i, w.next()) {
      std::byte* first = to.data + w.offset(0) * size;
      for (int64_t k = 1; k < repeats[axis]; ++k) std::memcpy(first + static_cast<size_t>(k) * part, first, part);
    }
  }
  finish_elements(c, y, to.data);
  return {};
}

}  // namespace fovea::core
