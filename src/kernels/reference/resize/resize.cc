#include "ops/resize.h"

#include <cmath>

#include "kernels/reference/reduce/limits.h"

namespace fovea::core {
namespace {

// Which elements of an axis an output element is made of: `width` adjacent ones from first[o] on, where those past the
// edges are the elements at the edges.
struct Taps {
  int64_t width = 1;
  int64_t* first = nullptr;    // [out]
  double* weights = nullptr;   // [out][width]
  uint8_t* outside = nullptr;  // [out]: the place is outside the input (crop only)
};

// The place in the input that output element `o` is taken from. T: float, as ONNX Runtime, or double for float64.
template <typename T>
T place(ResizeCoordinates mode, const ResizeAxis& a, int64_t o) {
  const T x = static_cast<T>(o), scale = a.scale, in = static_cast<T>(a.in), out = static_cast<T>(a.out),
          begin = a.roi_begin, end = a.roi_end;
  const T half = T(0.5);
  switch (mode) {
    case ResizeCoordinates::kHalfPixel: return (x + half) / scale - half;
    case ResizeCoordinates::kHalfPixelSymmetric: {
      const T adjustment = out / (scale * in);
      return in / 2 * (1 - adjustment) + (x + half) / scale - half;
    }
    case ResizeCoordinates::kPytorchHalfPixel: return a.out > 1 ? (x + half) / scale - half : T(0);
    case ResizeCoordinates::kAlignCorners: return a.out == 1 ? T(0) : x * (in - 1) / (out - 1);
    case ResizeCoordinates::kAsymmetric: return x / scale;
    case ResizeCoordinates::kTfHalfPixelForNn: return (x + half) / scale;
    case ResizeCoordinates::kTfCropAndResize:
      return a.out > 1 ? begin * (in - 1) + x * (end - begin) * (in - 1) / (out - 1) : half * (begin + end) * (in - 1);
  }
  return 0;
}

int64_t to_index(double x) { return static_cast<int64_t>(std::clamp(x, -1e15, 1e15)); }

int64_t nearest(ResizeNearest mode, double x) {
  switch (mode) {
    case ResizeNearest::kRoundPreferFloor: return to_index(std::ceil(x - 0.5));
    case ResizeNearest::kRoundPreferCeil: return to_index(std::floor(x + 0.5));
    case ResizeNearest::kFloor: return to_index(std::floor(x));
    case ResizeNearest::kCeil: return to_index(std::ceil(x));
  }
  return 0;
}

// The interpolation's kernel at distance d from its centre.
double kernel_at(const ResizeAttrs& attrs, double d) {
  d = std::fabs(d);
  if (attrs.mode == ResizeInterpolation::kLinear) return std::max(0.0, 1 - d);
  const double a = attrs.cubic_coeff_a;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

// Elements on each side of the place that the kernel, stretched where that avoids aliasing, may reach.
int64_t reach_of(const ResizeAttrs& attrs, double stretch) {
  if (attrs.mode == ResizeInterpolation::kNearest) return 0;
  const int64_t radius = attrs.mode == ResizeInterpolation::kLinear ? 1 : 2;
  return -to_index(std::floor(-static_cast<double>(radius) / stretch) + 1) + 1;
}

template <typename T>
Status make_taps(KernelContext& c, const ResizeAttrs& attrs, const ResizeAxis& a, Taps& taps) {
  const double stretch = attrs.antialias ? std::min<double>(a.scale, 1) : 1;
  const int64_t reach = reach_of(attrs, stretch);
  taps.width = std::max<int64_t>(1, 2 * reach);
  taps.first = c.scratch->array<int64_t>(a.out);
  taps.weights = c.scratch->array<double>(a.out * taps.width);
  taps.outside = c.scratch->array<uint8_t>(a.out);
  for (int64_t o = 0; o < a.out; ++o) {
    const double x = static_cast<double>(place<T>(attrs.coordinate_transformation_mode, a, o));
    if (!std::isfinite(x))
      return invalid_argument("output {} of {} lies nowhere in an input of {} at scale {}", o, a.out, a.in, a.scale);
    taps.outside[o] = attrs.coordinate_transformation_mode == ResizeCoordinates::kTfCropAndResize &&
                      (x < 0 || x > static_cast<double>(a.in - 1));
    double* w = taps.weights + o * taps.width;
    if (reach == 0) {
      taps.first[o] = std::clamp<int64_t>(nearest(attrs.nearest_mode, x), 0, a.in - 1);
      w[0] = 1;
      continue;
    }
    const int64_t first = to_index(std::floor(x)) - reach + 1;
    taps.first[o] = first;
    double sum = 0;
    for (int64_t k = 0; k < taps.width; ++k) {
      const bool counts = !attrs.exclude_outside || (first + k >= 0 && first + k < a.in);
      w[k] = counts ? kernel_at(attrs, (static_cast<double>(first + k) - x) * stretch) : 0;
      sum += w[k];
    }
    if ((attrs.exclude_outside || attrs.antialias) && sum != 0)
      for (int64_t k = 0; k < taps.width; ++k) w[k] /= sum;
  }
  return {};
}

// One axis of a dense array, its neighbours before and after taken as one each.
template <typename In>
void resize_axis(KernelContext& c, const ResizeAxis& a, const Taps& taps, int64_t before, int64_t after, const In* x,
                 double* y) {
  parallel_for(c.threads, before * a.out, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t o = row % a.out;
      const In* plane = x + row / a.out * a.in * after;
      double* to = y + row * after;
      std::fill_n(to, after, 0.0);
      for (int64_t k = 0; k < taps.width; ++k) {
        const double w = taps.weights[o * taps.width + k];
        if (w == 0) continue;
        const In* from = plane + std::clamp<int64_t>(taps.first[o] + k, 0, a.in - 1) * after;
        for (int64_t i = 0; i < after; ++i) to[i] += w * static_cast<double>(from[i]);
      }
    }
  });
}

using AxisArray = std::array<ResizeAxis, kMaxRank>;
using TapsArray = std::array<Taps, kMaxRank>;

// Rounded to the element type: integers to the nearest, halves to even, and kept in their range.
template <typename C>
C rounded(double v, C lowest, C highest) {
  if constexpr (std::is_floating_point_v<C>) return static_cast<C>(v);
  else {
    v = std::nearbyint(v);
    return v <= static_cast<double>(lowest) ? lowest : v >= static_cast<double>(highest) ? highest : static_cast<C>(v);
  }
}

bool outside(const TensorRef& y, const AxisArray& axes, const TapsArray& taps, int64_t index) {
  for (auto d = static_cast<size_t>(y.rank); d-- > 0; index /= y.dims[d])
    if (!axes[d].identity() && taps[d].outside[index % y.dims[d]]) return true;
  return false;
}

// Interpolates along one axis after the other, in double.
template <typename C>
void interpolate(KernelContext& c, const ResizeAttrs& attrs, const AxisArray& axes, const TapsArray& taps) {
  const auto rank = static_cast<size_t>(c.in(0).rank);
  const C* x = load<C>(c, c.in(0));
  const double* current = nullptr;  // x itself until the first axis is done
  std::array<int64_t, kMaxRank> dims = c.in(0).dims;
  for (size_t d = 0; d < rank; ++d) {
    if (axes[d].identity()) continue;
    int64_t before = 1, after = 1;
    for (size_t i = 0; i < d; ++i) before *= dims[i];
    for (size_t i = d + 1; i < rank; ++i) after *= dims[i];
    double* y = c.scratch->array<double>(before * axes[d].out * after);
    if (current) resize_axis(c, axes[d], taps[d], before, after, current, y);
    else resize_axis(c, axes[d], taps[d], before, after, x, y);
    current = y, dims[d] = axes[d].out;
  }
  const C lowest = lowest_of<C>(c.out().dtype), highest = highest_of<C>(c.out().dtype);
  const bool crop = attrs.coordinate_transformation_mode == ResizeCoordinates::kTfCropAndResize;
  C* y = result_buffer<C>(c, c.out());
  for (int64_t i = 0; i < c.out().count(); ++i) {
    if (crop && outside(c.out(), axes, taps, i)) y[i] = rounded(attrs.extrapolation_value, lowest, highest);
    else y[i] = current ? rounded(current[i], lowest, highest) : x[i];
  }
  finish(c, c.out(), y);
}

// Moves elements of any type.
void pick_nearest(KernelContext& c, const AxisArray& axes, const TapsArray& taps) {
  const TensorRef &x = c.in(0), &y = c.out();
  const std::byte* from = load_elements(c, x);
  std::byte* to = element_buffer(c, y);
  const auto strides = row_major_strides(x.shape());
  dispatch_size(element_size(x.dtype), [&](auto tag) {
    using U = typename decltype(tag)::type;
    for (int64_t i = 0; i < y.count(); ++i) {
      int64_t rest = i, offset = 0;
      for (auto d = static_cast<size_t>(y.rank); d-- > 0; rest /= y.dims[d]) {
        const int64_t o = rest % y.dims[d];
        offset += (axes[d].identity() ? o : taps[d].first[o]) * strides[d];
      }
      reinterpret_cast<U*>(to)[i] = reinterpret_cast<const U*>(from)[offset];
    }
  });
  finish_elements(c, y, to);
}

Status find_axes(KernelContext& c, const ResizeAttrs& attrs, AxisArray& axes) {
  auto floats = [&](size_t i) {
    return c.has(i) ? std::span<const float>(load<float>(c, c.in(i)), static_cast<size_t>(c.in(i).count()))
                    : std::span<const float>();
  };
  const auto sizes = c.has(3)
                         ? std::span<const int64_t>(load<int64_t>(c, c.in(3)), static_cast<size_t>(c.in(3).count()))
                         : std::span<const int64_t>();
  const TensorRef& x = c.in(0);
  if (!resize_axes(attrs, x.shape(), floats(1), floats(2), sizes, std::span(axes).first(static_cast<size_t>(x.rank))))
    return invalid_argument("scales, sizes or roi do not fit an input of [{}]", fmt::join(x.shape(), ","));
  return {};
}

// Inference mostly knows the output's size already; then its memory and strides stay as they are.
Status set_shape(KernelContext& c, const AxisArray& axes) {
  std::array<int64_t, kMaxRank> dims{};
  bool known = c.out().data != nullptr;
  for (size_t d = 0; d < static_cast<size_t>(c.in(0).rank); ++d)
    dims[d] = axes[d].out, known &= dims[d] == c.out().dims[d];
  return known ? Status() : c.set_output_shape(0, std::span(dims).first(static_cast<size_t>(c.in(0).rank)));
}

}  // namespace

Status reference_Resize(KernelContext& c) {
  const auto& attrs = c.attrs<ResizeAttrs>();
  AxisArray axes;
  TapsArray taps;
  FOVEA_TRY(find_axes(c, attrs, axes));
  FOVEA_TRY(set_shape(c, axes));
  if (c.out().count() == 0) return {};
  const bool exact = c.in(0).dtype == DType::kFloat64;
  for (size_t d = 0; d < static_cast<size_t>(c.in(0).rank); ++d)
    if (!axes[d].identity())
      FOVEA_TRY(exact ? make_taps<double>(c, attrs, axes[d], taps[d]) : make_taps<float>(c, attrs, axes[d], taps[d]));
  if (attrs.mode == ResizeInterpolation::kNearest &&
      attrs.coordinate_transformation_mode != ResizeCoordinates::kTfCropAndResize) {
    pick_nearest(c, axes, taps);
    return {};
  }
  dispatch_compute(c.in(0).dtype, [&](auto tag) { interpolate<typename decltype(tag)::type>(c, attrs, axes, taps); });
  return {};
}

}  // namespace fovea::core
