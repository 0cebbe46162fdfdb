#include "ops/shape.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_Shape(KernelContext& c) {
  int64_t first, last;
  c.attrs<ShapeAttrs>().resolve(c.in(0).rank, first, last);
  FOVEA_TRY(ensure_shape(c, 0, {last - first}));
  store(c, c.out(), c.in(0).dims.data() + first);
  return {};
}

}  // namespace fovea::core
