#include "ops/conv_transpose.h"

#include "kernels/reference/conv/convolve.h"

namespace fovea::core {
namespace {

// [group][input][output][kernel] -> [group][output][input][kernel]
template <typename C>
const C* swap_channels(KernelContext& c, const Convolution& s, const C* w) {
  const int64_t taps = s.windows.kernel_count();
  C* swapped = c.scratch->array<C>(s.groups * s.inputs * s.outputs * taps);
  C* next = swapped;
  for (int64_t g = 0; g < s.groups; ++g)
    for (int64_t o = 0; o < s.outputs; ++o)
      for (int64_t i = 0; i < s.inputs; ++i)
        for (int64_t t = 0; t < taps; ++t) *next++ = w[((g * s.inputs + i) * s.outputs + o) * taps + t];
  return swapped;
}

}  // namespace

Status reference_ConvTranspose(KernelContext& c) {
  const auto& attrs = c.attrs<ConvTransposeAttrs>();
  const TensorRef &x = c.in(0), &w = c.in(1);
  FOVEA_TRY_SET(Windows windows, conv_transpose_windows(attrs, x.shape(), w.shape()));
  const int64_t outputs = w.dims[1] * attrs.group;
  if (c.has(2) && c.in(2).count() != outputs)
    return invalid_argument("a bias of {} for {} output channels", c.in(2).count(), outputs);
  const Convolution s{windows, x.dims[0], attrs.group, w.dims[0] / attrs.group, w.dims[1]};
  if (c.out().count() != x.dims[0] * outputs * windows.out_count())
    return internal_error("an output of {} elements", c.out().count());
  dispatch_compute(x.dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    C* y = result_buffer<C>(c, c.out());
    convolve(c, s, load<C>(c, x), swap_channels(c, s, load<C>(c, w)), c.has(2) ? load<C>(c, c.in(2)) : nullptr, y,
             [](const Window& a, int64_t o, int64_t k) {
               const int64_t i = o + a.pad_begin - k * a.dilation;
               return i >= 0 && i % a.stride == 0 && i / a.stride < a.in ? i / a.stride : int64_t{-1};
             });
    finish(c, c.out(), y);
  });
  return {};
}

}  // namespace fovea::core
