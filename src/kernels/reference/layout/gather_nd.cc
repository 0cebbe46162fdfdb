#include "ops/gather_nd.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {

Status reference_GatherND(KernelContext& c) {
  const TensorRef &x = c.in(0), &indices = c.in(1);
  const auto batch = static_cast<size_t>(c.attrs<GatherNDAttrs>().batch_dims);
  const auto tuple = static_cast<size_t>(indices.dims[static_cast<size_t>(indices.rank) - 1]);
  if (tuple < 1 || batch + tuple > static_cast<size_t>(x.rank))
    return invalid_argument("tuples of {} with batch_dims {} for an input of rank {}", tuple, batch, x.rank);
  const auto places = indices.shape().first(static_cast<size_t>(indices.rank) - 1);
  const auto slices = x.shape().subspan(batch + tuple), picked = x.shape().subspan(batch, tuple);
  SmallShape shape;
  for (size_t d = 0; d < batch; ++d)
    if (indices.dims[d] != x.dims[d])
      return invalid_argument("batch dimension {}: {} indices, {} data", d, indices.dims[d], x.dims[d]);
  for (int64_t d : places) FOVEA_TRY(shape.push(d));
  for (int64_t d : slices) FOVEA_TRY(shape.push(d));
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));

  const int64_t count = span_product(places), bytes = span_product(slices) * element_size(x.dtype);
  const int64_t per_batch = count / std::max<int64_t>(1, span_product(x.shape().first(batch)));
  const int64_t* index = load<int64_t>(c, indices);
  auto* offsets = c.scratch->array<int64_t>(count);
  for (int64_t i = 0; i < count; ++i) {
    int64_t offset = i / per_batch;
    for (size_t k = 0; k < tuple; ++k) {
      int64_t at = index[i * static_cast<int64_t>(tuple) + static_cast<int64_t>(k)];
      FOVEA_TRY(normal_index(at, picked[k]));
      offset = offset * picked[k] + at;
    }
    offsets[i] = offset;
  }
  if (count == 0 || bytes == 0) return {};
  const std::byte* from = load_elements(c, x);
  std::byte* to = element_buffer(c, c.out());
  parallel_for(c.threads, count, std::max<int64_t>(1, (1 << 16) / bytes), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * bytes, from + offsets[i] * bytes, static_cast<size_t>(bytes));
  });
  finish_elements(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
