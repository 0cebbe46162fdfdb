#include "kernels/reference/layout/copy.h"
#include "ops/axis.h"

namespace fovea::core {

Status reference_GatherElements(KernelContext& c) {
  const TensorRef &x = c.in(0), &indices = c.in(1);
  const size_t axis = axis_of(c.attrs<AxisAttrs>().axis, x.rank);
  for (size_t d = 0; d < static_cast<size_t>(x.rank); ++d)
    if (d != axis && indices.dims[d] > x.dims[d])
      return invalid_argument("dimension {}: {} indices for data of size {}", d, indices.dims[d], x.dims[d]);
  FOVEA_TRY(ensure_shape(c, 0, indices.shape()));
  const int64_t* index = load<int64_t>(c, indices);
  const StridedBytes from = readable(c, x);
  std::byte* to = element_buffer(c, c.out());
  Strides others = from.strides;  // the axis comes from the index
  others[axis] = 0;
  Status status;
  dispatch_size(element_size(x.dtype), [&](auto tag) {
    using U = typename decltype(tag)::type;
    Walker w(indices.shape(), {others});
    for (int64_t i = 0; i < w.count(); ++i, w.next()) {
      int64_t at = index[i];
      if (status = normal_index(at, x.dims[axis]); !status.ok()) return;
      reinterpret_cast<U*>(to)[i] = reinterpret_cast<const U*>(from.data)[w.offset(0) + at * from.strides[axis]];
    }
  });
  if (status.ok()) finish_elements(c, c.out(), to);
  return status;
}

}  // namespace fovea::core
