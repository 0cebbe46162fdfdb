// A copy here; plans make it a view.
#include "kernels/reference/layout/copy.h"
#include "ops/axes.h"

namespace fovea::core {

Status reference_Unsqueeze(KernelContext& c) {
  const TensorRef& x = c.in(0);
  const auto& axes = c.attrs<AxesAttrs>().axes;
  const int rank = x.rank + static_cast<int>(axes.size());
  if (rank > kMaxRank) return unsupported("rank {} is above {}", rank, kMaxRank);
  std::array<bool, kMaxRank> added{};
  for (int64_t axis : axes) added[axis_of(axis, rank)] = true;
  const StridedBytes all = readable(c, x);
  StridedBytes from{all.data, {}};
  SmallShape shape;
  size_t next = 0;
  for (size_t i = 0; i < static_cast<size_t>(rank); ++i) {
    if (!added[i]) from.strides[i] = all.strides[next];
    FOVEA_TRY(shape.push(added[i] ? 1 : x.dims[next++]));
  }
  return copy_to_output(c, shape, from);
}

}  // namespace fovea::core
