// Reshape is a copy here; plans make it a view.
#include "ops/reshape.h"
#include "kernels/reference/reference.h"

namespace fovea::core {

Status reference_Reshape(KernelContext& c) {
  const TensorRef& x = c.in(0);
  // The output's sizes are inference's, but where they depend on data they follow from the shape input.
  const int64_t* wanted = load<int64_t>(c, c.in(1));
  const auto rank = static_cast<size_t>(c.in(1).dims[0]);
  std::array<int64_t, kMaxRank> shape{};
  int64_t known = 1, inferred = -1;
  for (size_t i = 0; i < rank; ++i) {
    const bool copied = wanted[i] == 0 && !c.attrs<ReshapeAttrs>().allowzero && static_cast<int>(i) < x.rank;
    shape[i] = copied ? x.dims[i] : wanted[i];
    if (shape[i] == -1) inferred = static_cast<int64_t>(i);
    else known *= shape[i];
  }
  if (inferred >= 0) shape[static_cast<size_t>(inferred)] = known == 0 ? 0 : x.count() / known;
  FOVEA_TRY(c.set_output_shape(0, std::span<const int64_t>(shape.data(), rank)));
  if (c.out().count() != x.count())
    return invalid_argument("cannot reshape {} elements into {}", x.count(), c.out().count());
  const std::byte* from = load_elements(c, x);
  std::byte* to = element_buffer(c, c.out());
  if (x.count() > 0 && to != from) std::memcpy(to, from, static_cast<size_t>(x.count() * element_size(x.dtype)));
  finish_elements(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
