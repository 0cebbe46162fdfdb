#include "ops/transpose.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_Transpose(KernelContext& c) {
  const TensorRef& x = c.in(0);
  const auto& perm = c.attrs<TransposeAttrs>().perm;
  const StridedBytes all = readable(c, x);
  StridedBytes from{all.data, {}};
  SmallShape shape;
  for (int64_t p : perm) {
    from.strides[shape.rank] = all.strides[static_cast<size_t>(p)];
    FOVEA_TRY(shape.push(x.dims[static_cast<size_t>(p)]));
  }
  return copy_to_output(c, shape, from);
}

}  // namespace fovea::core
