#include "kernels/reference/layout/copy.h"
#include "ops/axis.h"

namespace fovea::core {

Status reference_Concat(KernelContext& c) {
  SmallShape shape = SmallShape::of(c.in(0));
  const size_t axis = axis_of(c.attrs<AxisAttrs>().axis, c.in(0).rank);
  for (size_t i = 1; i < c.inputs.size(); ++i)
    for (size_t d = 0; d < shape.rank; ++d) {
      if (d == axis) shape[d] += c.in(i).dims[d];
      else if (c.in(i).dims[d] != shape[d])
        return invalid_argument("input {}: size {} of dimension {} differs from {}", i, c.in(i).dims[d], d, shape[d]);
    }
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const int size = element_size(c.out().dtype);
  StridedBytes to = writable(c, c.out());
  int64_t at = 0;
  for (const TensorRef& x : c.inputs) {
    copy_strided(x.shape(), to.at(at * to.strides[axis], size), readable(c, x), size, c.threads);
    at += x.dims[axis];
  }
  finish_writable(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
