#include "kernels/reference/layout/copy.h"

namespace fovea::core {
namespace {

Status broadcast_shape(KernelContext& c, SmallShape& shape) {
  for (const TensorRef& t : c.inputs) shape.rank = std::max(shape.rank, static_cast<size_t>(t.rank));
  for (size_t i = 0; i < shape.rank; ++i) shape[i] = 1;
  for (const TensorRef& t : c.inputs)
    for (size_t i = 0; i < static_cast<size_t>(t.rank); ++i) {
      int64_t& size = shape[shape.rank - static_cast<size_t>(t.rank) + i];
      if (t.dims[i] != size && t.dims[i] != 1 && size != 1)
        return invalid_argument("cannot broadcast size {} with {}", size, t.dims[i]);
      if (size == 1) size = t.dims[i];
    }
  return {};
}

}  // namespace

Status reference_Where(KernelContext& c) {
  SmallShape shape;
  FOVEA_TRY(broadcast_shape(c, shape));
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const uint8_t* condition = load<uint8_t>(c, c.in(0));
  const std::byte *x = load_elements(c, c.in(1)), *y = load_elements(c, c.in(2));
  std::byte* out = element_buffer(c, c.out());
  dispatch_size(element_size(c.out().dtype), [&](auto tag) {
    using U = typename decltype(tag)::type;
    Walker w(shape.span(),
             {broadcast_strides(c.in(0).shape(), shape.span()), broadcast_strides(c.in(1).shape(), shape.span()),
              broadcast_strides(c.in(2).shape(), shape.span())});
    for (int64_t i = 0; i < w.count(); ++i, w.next())
      reinterpret_cast<U*>(out)[i] = condition[w.offset(0)] ? reinterpret_cast<const U*>(x)[w.offset(1)]
                                                            : reinterpret_cast<const U*>(y)[w.offset(2)];
  });
  finish_elements(c, c.out(), out);
  return {};
}

}  // namespace fovea::core
