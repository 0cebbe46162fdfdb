#include "ops/conv.h"

#include "kernels/reference/conv/convolve.h"

namespace fovea::core {

Status reference_Conv(KernelContext& c) {
  const auto& attrs = c.attrs<ConvAttrs>();
  const TensorRef &x = c.in(0), &w = c.in(1);
  FOVEA_TRY_SET(Windows windows, conv_windows(attrs, x.shape(), w.shape()));
  if (c.has(2) && c.in(2).count() != w.dims[0])
    return invalid_argument("a bias of {} for {} output channels", c.in(2).count(), w.dims[0]);
  const Convolution s{windows, x.dims[0], attrs.group, w.dims[1], w.dims[0] / attrs.group};
  if (c.out().count() != x.dims[0] * w.dims[0] * windows.out_count())
    return internal_error("an output of {} elements", c.out().count());
  dispatch_compute(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    C* y = result_buffer<C>(c, c.out());
    convolve(c, s, load<C>(c, x), load<C>(c, w), c.has(2) ? load<C>(c, c.in(2)) : nullptr, y,
             [](const Window& a, int64_t o, int64_t k) {
               const int64_t i = o * a.stride - a.pad_begin + k * a.dilation;
               return i < a.in ? std::max<int64_t>(i, -1) : -1;
             });
    finish(c, c.out(), y);
  });
  return {};
}

}  // namespace fovea::core
