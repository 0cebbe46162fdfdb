#include "ops/pool.h"

#include <cmath>

#include "kernels/reference/reduce/limits.h"

namespace fovea::core {
namespace {

// The part of a window inside the input: its taps [first, last), and how many of all taps are inside the padded input.
struct Taps {
  int64_t first, last, padded;
};
Taps taps_of(const Window& w, int64_t out) {
  const int64_t start = out * w.stride - w.pad_begin;
  auto taps_before = [&](int64_t end) {
    return std::clamp<int64_t>((end - start + w.dilation - 1) / w.dilation, 0, w.kernel);
  };
  const int64_t first = start < 0 ? taps_before(0) : 0;
  const int64_t padded = start < w.in + w.pad_end ? taps_before(w.in + w.pad_end) : 0;
  return {first, std::max(first, start < w.in ? taps_before(w.in) : 0), padded};
}

// For every output element: visit(offset of an input element in its plane) for its window's elements, row-major; then
// done(output index, elements inside the padded input).
template <typename Visit, typename Done>
void for_windows(const Windows& windows, Visit visit, Done done) {
  const auto& [a, b, c] = windows.axes;
  int64_t index = 0;
  for (int64_t od = 0; od < a.out; ++od)
    for (int64_t oh = 0; oh < b.out; ++oh)
      for (int64_t ow = 0; ow < c.out; ++ow, ++index) {
        const Taps td = taps_of(a, od), th = taps_of(b, oh), tw = taps_of(c, ow);
        for (int64_t kd = td.first; kd < td.last; ++kd)
          for (int64_t kh = th.first; kh < th.last; ++kh) {
            const int64_t d = od * a.stride - a.pad_begin + kd * a.dilation,
                          h = oh * b.stride - b.pad_begin + kh * b.dilation;
            const int64_t row = (d * b.in + h) * c.in + ow * c.stride - c.pad_begin;
            for (int64_t kw = tw.first; kw < tw.last; ++kw) visit(row + kw * c.dilation);
          }
        done(index, td.padded * th.padded * tw.padded);
      }
}

// The same offset counted with the first axis innermost.
int64_t column_major(const Windows& windows, int64_t offset) {
  const auto& [a, b, c] = windows.axes;
  const int64_t d = offset / (b.in * c.in), h = offset / c.in % b.in, w = offset % c.in;
  return windows.spatial == 3 ? d + h * a.in + w * a.in * b.in : windows.spatial == 2 ? h + w * b.in : w;
}

Result<Windows> windows_of(const KernelContext& c, const PoolAttrs& attrs) {
  const TensorRef& x = c.in(0);
  FOVEA_TRY_SET(Windows windows, pool_windows(attrs, x.shape()));
  if (c.out().count() != x.dims[0] * x.dims[1] * windows.out_count())
    return internal_error("an output of {} elements", c.out().count());
  return windows;
}

// y = f(x's plane, y's plane, index of the plane) for each image and channel.
template <typename C, typename F>
void for_planes(KernelContext& c, const Windows& windows, F f) {
  const C* x = load<C>(c, c.in(0));
  C* y = result_buffer<C>(c, c.out());
  const int64_t in = windows.in_count(), out = windows.out_count();
  parallel_for(c.threads, c.in(0).dims[0] * c.in(0).dims[1], 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) f(x + p * in, y + p * out, p);
  });
  finish(c, c.out(), y);
}

}  // namespace

Status reference_MaxPool(KernelContext& c) {
  const auto& attrs = c.attrs<MaxPoolAttrs>();
  FOVEA_TRY_SET(Windows windows, windows_of(c, attrs));
  int64_t* indices = c.wants(1) ? result_buffer<int64_t>(c, c.out(1)) : nullptr;
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    const C lowest = lowest_of<C>(c.in(0).dtype);
    for_planes<C>(c, windows, [&](const C* x, C* y, int64_t plane) {
      C best = lowest;
      int64_t where = -1;
      auto visit = [&](int64_t i) {
        if (where < 0 || x[i] > best || (x[i] != x[i] && best == best)) best = x[i], where = i;  // NaN wins
      };
      for_windows(windows, visit, [&](int64_t o, int64_t) {
        y[o] = best;
        if (indices)
          indices[plane * windows.out_count() + o] =
              plane * windows.in_count() +
              std::max<int64_t>(0, attrs.storage_order ? column_major(windows, std::max<int64_t>(0, where)) : where);
        best = lowest, where = -1;
      });
    });
  });
  if (indices) finish(c, c.out(1), indices);
  return {};
}

Status reference_AveragePool(KernelContext& c) {
  const auto& attrs = c.attrs<AveragePoolAttrs>();
  FOVEA_TRY_SET(Windows windows, windows_of(c, attrs));
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    for_planes<C>(c, windows, [&](const C* x, C* y, int64_t) {
      double sum = 0;
      int64_t count = 0;
      for_windows(
          windows, [&](int64_t i) { sum += static_cast<double>(x[i]), ++count; },
          [&](int64_t o, int64_t padded) {
            y[o] = static_cast<C>(sum / static_cast<double>(attrs.count_include_pad ? padded : count));
            sum = 0, count = 0;
          });
    });
  });
  return {};
}

Status reference_LpPool(KernelContext& c) {
  const auto& attrs = c.attrs<LpPoolAttrs>();
  FOVEA_TRY_SET(Windows windows, windows_of(c, attrs));
  const auto p = static_cast<double>(attrs.p);
  dispatch_compute(c.in(0).dtype, [&](auto tag) {
    using C = typename decltype(tag)::type;
    for_planes<C>(c, windows, [&](const C* x, C* y, int64_t) {
      double sum = 0;
      for_windows(
          windows, [&](int64_t i) { sum += std::pow(std::fabs(static_cast<double>(x[i])), p); },
          [&](int64_t o, int64_t) {
            y[o] = static_cast<C>(std::pow(sum, 1 / p));
            sum = 0;
          });
    });
  });
  return {};
}

}  // namespace fovea::core
