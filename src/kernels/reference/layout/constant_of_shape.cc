#include "ops/constant_of_shape.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_ConstantOfShape(KernelContext& c) {
  const TensorRef value = TensorRef::of(*c.attrs<ConstantOfShapeAttrs>().value);
  const int64_t* sizes = load<int64_t>(c, c.in(0));
  SmallShape shape;
  for (int64_t i = 0; i < c.in(0).dims[0]; ++i) FOVEA_TRY(shape.push(sizes[i]));
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  StridedBytes one = readable(c, value), out = writable(c, c.out());
  one.strides = {};
  copy_strided(c.out().shape(), out, one, element_size(value.dtype), c.threads);
  finish_writable(c, c.out(), out);
  return {};
}

}  // namespace fovea::core
