#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_Expand(KernelContext& c) {
  const TensorRef& x = c.in(0);
  const int64_t* target = load<int64_t>(c, c.in(1));
  const int length = static_cast<int>(c.in(1).dims[0]), rank = std::max(length, x.rank);
  StridedBytes from = readable(c, x), repeated{from.data, {}};
  SmallShape shape;
  for (int i = 0; i < rank; ++i) {
    const int own_axis = i + x.rank - rank, target_axis = i + length - rank;
    const int64_t own = own_axis >= 0 ? x.dims[static_cast<size_t>(own_axis)] : 1,
                  wanted = target_axis >= 0 ? target[target_axis] : 1;
    if (own != wanted && own != 1 && wanted != 1)
      return invalid_argument("dimension {}: cannot expand size {} to {}", i, own, wanted);
    if (own != 1) repeated.strides[static_cast<size_t>(i)] = from.strides[static_cast<size_t>(own_axis)];
    FOVEA_TRY(shape.push(own == 1 ? wanted : own));
  }
  return copy_to_output(c, shape, repeated);
}

}  // namespace fovea::core
