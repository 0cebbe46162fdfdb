#include "ops/reverse_sequence.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_ReverseSequence(KernelContext& c) {
  const auto& attrs = c.attrs<ReverseSequenceAttrs>();
  const TensorRef& x = c.in(0);
  const size_t batch = axis_of(attrs.batch_axis, x.rank), time = axis_of(attrs.time_axis, x.rank);
  FOVEA_TRY(ensure_shape(c, 0, x.shape()));
  if (c.in(1).dims[0] != x.dims[batch])
    return invalid_argument("{} lengths for {} sequences", c.in(1).dims[0], x.dims[batch]);
  const int64_t* lengths = load<int64_t>(c, c.in(1));
  const std::byte* from = load_elements(c, x);
  std::byte* to = element_buffer(c, c.out());
  const Strides strides = row_major_strides(x.shape());
  const auto bytes = static_cast<size_t>(span_product(x.shape().subspan(2)) * element_size(x.dtype));
  if (x.count() == 0) return {};
  for (int64_t i = 0; i < x.dims[batch]; ++i) {
    if (lengths[i] < 0 || lengths[i] > x.dims[time])
      return invalid_argument("sequence {}: length {} is outside [0, {}]", i, lengths[i], x.dims[time]);
    for (int64_t t = 0; t < x.dims[time]; ++t) {
      const int64_t source = t < lengths[i] ? lengths[i] - 1 - t : t, first = i * strides[batch];
      std::memcpy(to + (first + t * strides[time]) * element_size(x.dtype),
                  from + (first + source * strides[time]) * element_size(x.dtype), bytes);
    }
  }
  finish_elements(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
