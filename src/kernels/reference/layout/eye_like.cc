#include "ops/eye_like.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_EyeLike(KernelContext& c) {
  const TensorRef& x = c.in(0);
  FOVEA_TRY(ensure_shape(c, 0, x.shape()));
  const int64_t k = c.attrs<EyeLikeAttrs>().k, rows = x.dims[0], columns = x.dims[1];
  float* y = c.scratch->array<float>(rows * columns);
  std::fill(y, y + rows * columns, 0.0f);
  for (int64_t i = 0; i < rows; ++i)
    if (k < columns - i && k >= -i) y[i * columns + i + k] = 1;
  store(c, c.out(), y);
  return {};
}

}  // namespace fovea::core
