#include "kernels/reference/layout/scatter.h"

namespace fovea::core {

Status reference_ScatterND(KernelContext& c) {
  const TensorRef &x = c.in(0), &indices = c.in(1), &updates = c.in(2);
  const int64_t tuple = indices.dims[static_cast<size_t>(indices.rank) - 1];
  if (tuple < 1 || tuple > x.rank) return invalid_argument("tuples of {} for an input of rank {}", tuple, x.rank);
  FOVEA_TRY(ensure_shape(c, 0, x.shape()));
  const int64_t count = span_product(indices.shape().first(static_cast<size_t>(indices.rank) - 1));
  const int64_t slice = span_product(x.shape().subspan(static_cast<size_t>(tuple)));
  if (updates.count() != count * slice)
    return invalid_argument("{} updates for {} slices of {}", updates.count(), count, slice);
  const int64_t* index = load<int64_t>(c, indices);
  return scatter_into(c, c.attrs<ScatterNDAttrs>().reduction, [&](auto* y, const auto* update, auto combine) -> Status {
    for (int64_t i = 0; i < count; ++i) {
      int64_t offset = 0;
      for (int64_t k = 0; k < tuple; ++k) {
        int64_t at = index[i * tuple + k];
        FOVEA_TRY(normal_index(at, x.dims[static_cast<size_t>(k)]));
        offset = offset * x.dims[static_cast<size_t>(k)] + at;
      }
      for (int64_t k = 0; k < slice; ++k) y[offset * slice + k] = combine(y[offset * slice + k], update[i * slice + k]);
    }
    return {};
  });
}

}  // namespace fovea::core
