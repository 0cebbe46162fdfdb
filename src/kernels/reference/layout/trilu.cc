#include "ops/trilu.h"

#include <algorithm>

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_Trilu(KernelContext& c) {
  const TensorRef& x = c.in(0);
  FOVEA_TRY(ensure_shape(c, 0, x.shape()));
  const auto rank = static_cast<size_t>(x.rank);
  const int64_t rows = x.dims[rank - 2], columns = x.dims[rank - 1];
  // Beyond the corners every diagonal is like the one at the corner.
  const int64_t k = std::clamp(c.has(1) ? *load<int64_t>(c, c.in(1)) : 0, -rows - 1, columns + 1);
  const bool upper = c.attrs<TriluAttrs>().upper;
  const int bytes = element_size(x.dtype);
  StridedBytes to{element_buffer(c, c.out()), row_major_strides(x.shape())};
  copy_strided(x.shape(), to, readable(c, x), bytes, c.threads);
  const int64_t all_rows = columns == 0 ? 0 : x.count() / columns;
  for (int64_t i = 0; i < all_rows; ++i) {
    const int64_t row = i % rows, from = upper ? 0 : std::clamp<int64_t>(row + k + 1, 0, columns),
                  until = upper ? std::clamp<int64_t>(row + k, 0, columns) : columns;
    std::memset(to.data + (i * columns + from) * bytes, 0, static_cast<size_t>((until - from) * bytes));
  }
  finish_elements(c, c.out(), to.data);
  return {};
}

}  // namespace fovea::core
