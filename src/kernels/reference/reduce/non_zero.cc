#include "kernels/reference/reference.h"

namespace fovea::core {

Status reference_NonZero(KernelContext& c) {
  const TensorRef& x = c.in(0);
  auto* flags = c.scratch->array<uint8_t>(x.count());
  int64_t found = 0;
  dispatch_compute(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C* v = load<C>(c, x);
    for (int64_t i = 0; i < x.count(); ++i) found += flags[i] = v[i] != 0;
  });
  FOVEA_TRY(c.set_output_shape(0, {x.rank, found}));
  const TensorRef& y = c.out();
  auto* index = y.as<int64_t>();
  const auto strides = row_major_strides(x.shape());
  int64_t column = 0;
  for (int64_t i = 0; i < x.count(); ++i) {
    if (!flags[i]) continue;
    for (int d = 0; d < x.rank; ++d) {
      auto k = static_cast<size_t>(d);
      index[d * y.strides[0] + column * y.strides[1]] = i / strides[k] % x.dims[k];
    }
    ++column;
  }
  return {};
}

}  // namespace fovea::core
