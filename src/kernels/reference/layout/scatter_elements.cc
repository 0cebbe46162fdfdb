#include "kernels/reference/layout/scatter.h"

namespace fovea::core {

Status reference_ScatterElements(KernelContext& c) {
  const auto& attrs = c.attrs<ScatterElementsAttrs>();
  const TensorRef &x = c.in(0), &indices = c.in(1), &updates = c.in(2);
  const size_t axis = axis_of(attrs.axis, x.rank);
  for (size_t d = 0; d < static_cast<size_t>(x.rank); ++d) {
    if (indices.dims[d] != updates.dims[d])
      return invalid_argument("dimension {}: {} indices, {} updates", d, indices.dims[d], updates.dims[d]);
    if (d != axis && indices.dims[d] > x.dims[d])
      return invalid_argument("dimension {}: {} indices for data of size {}", d, indices.dims[d], x.dims[d]);
  }
  FOVEA_TRY(ensure_shape(c, 0, x.shape()));
  const int64_t* index = load<int64_t>(c, indices);
  const Strides strides = row_major_strides(x.shape());
  Strides others = strides;  // the axis comes from the index
  others[axis] = 0;
  return scatter_into(c, attrs.reduction, [&](auto* y, const auto* update, auto combine) -> Status {
    Walker w(indices.shape(), {others});
    for (int64_t i = 0; i < w.count(); ++i, w.next()) {
      int64_t at = index[i];
      FOVEA_TRY(normal_index(at, x.dims[axis]));
      auto& element = y[w.offset(0) + at * strides[axis]];
      element = combine(element, update[i]);
    }
    return {};
  });
}

}  // namespace fovea::core
