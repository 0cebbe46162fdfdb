// A copy here; plans make it a view.
#include "kernels/reference/layout/copy.h"
#include "ops/axes.h"

namespace fovea::core {

Status reference_Squeeze(KernelContext& c) {
  const TensorRef& x = c.in(0);
  std::array<bool, kMaxRank> gone{};
  for (int64_t axis : c.attrs<AxesAttrs>().axes) gone[axis_of(axis, x.rank)] = true;
  const StridedBytes all = readable(c, x);
  StridedBytes from{all.data, {}};
  SmallShape shape;
  for (size_t i = 0; i < static_cast<size_t>(x.rank); ++i) {
    if (gone[i] && x.dims[i] != 1) return invalid_argument("dimension {} has size {}, not 1", i, x.dims[i]);
    if (gone[i]) continue;
    from.strides[shape.rank] = all.strides[i];
    FOVEA_TRY(shape.push(x.dims[i]));
  }
  return copy_to_output(c, shape, from);
}

}  // namespace fovea::core
