// Preprocess: ops/preprocess.cc says what it computes.
#include "ops/preprocess.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

// For each output pixel of an axis: which input pixels it is made of, with which weights. Begins and ends never fall.
struct Taps {
  int64_t* first;  // [out]
  int64_t* count;  // [out]
  float* weight;   // [out, width]
  int64_t width;
};

Taps make_taps(Scratch& scratch, int64_t out, int64_t width) {
  return {scratch.array<int64_t>(out), scratch.array<int64_t>(out), scratch.array<float>(width * out), width};
}

Taps identity_taps(Scratch& scratch, int64_t size) {
  Taps t = make_taps(scratch, size, 1);
  for (int64_t i = 0; i < size; ++i) t.first[i] = i, t.count[i] = 1, t.weight[i] = 1;
  return t;
}

// OpenCV: position in float32, two neighbours, the border repeated.
Taps linear_taps(Scratch& scratch, int64_t in, int64_t out) {
  Taps t = make_taps(scratch, out, 2);
  const double step = static_cast<double>(in) / static_cast<double>(out);
  for (int64_t i = 0; i < out; ++i) {
    const float position = static_cast<float>((static_cast<double>(i) + 0.5) * step - 0.5);
    auto left = static_cast<int64_t>(std::floor(position));
    float right_weight = position - static_cast<float>(left);
    if (left < 0) left = 0, right_weight = 0;
    if (left >= in - 1) left = in - 1, right_weight = 0;
    t.first[i] = left;
    t.count[i] = right_weight > 0 ? 2 : 1;
    t.weight[2 * i] = 1 - right_weight, t.weight[2 * i + 1] = right_weight;
  }
  return t;
}

// Pillow: a triangle over the output pixel, at least two input pixels wide, normalised where the border cuts it.
Taps triangle_taps(Scratch& scratch, int64_t in, int64_t out) {
  const double step = static_cast<double>(in) / static_cast<double>(out), support = std::max(step, 1.0);
  Taps t = make_taps(scratch, out, std::min(static_cast<int64_t>(std::ceil(support)) * 2 + 1, in));
  for (int64_t i = 0; i < out; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * step;
    const auto first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const auto count = std::min(std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), in) - first, t.width);
    const auto weight = [&](int64_t k) {
      return std::max(1 - std::abs((static_cast<double>(k + first) - centre + 0.5) / support), 0.0);
    };
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += weight(k);
    for (int64_t k = 0; k < count; ++k) t.weight[i * t.width + k] = static_cast<float>(weight(k) / sum);
    t.first[i] = first, t.count[i] = count;
  }
  return t;
}

class Preprocess {
 public:
  explicit Preprocess(KernelContext& c) : c_(c), a_(c.attrs<PreprocessAttrs>()), channels_(a_.channels()) {}

  Status run() {
    const TensorRef& picture = c_.in(0);
    if (picture.dims[2] != 3 || picture.dims[0] < 1 || picture.dims[1] < 1)
      return invalid_argument("expected a picture [H,W,3], found [{}]", fmt::join(picture.shape(), ","));
    geometry_ = resize_geometry(a_.resize, picture.dims[0], picture.dims[1]);
    if (c_.out().count() != geometry_.input_h * geometry_.input_w * channels_)
      return invalid_argument("a picture of {} x {} gives {} x {}, for which the output has no room", picture.dims[0],
                              picture.dims[1], geometry_.input_h, geometry_.input_w);
    const float* pixels = resize(load<uint8_t>(c_, picture));
    if (a_.dtype == DType::kFloat64) write<double>(pixels);
    else write<float>(pixels);
    return {};
  }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }

  Taps taps(int64_t in, int64_t out) {
    if (in == out) return identity_taps(*c_.scratch, out);
    return a_.antialias ? triangle_taps(*c_.scratch, in, out) : linear_taps(*c_.scratch, in, out);
  }

  // To [resized_h,resized_w,channels], one input row after another, each added to the output rows that it is part of:
  // a large picture needs no large memory.
  const float* resize(const uint8_t* rgb) {
    const ResizeGeometry& g = geometry_;
    const Taps across = taps(g.picture_w, g.resized_w), down = taps(g.picture_h, g.resized_h);
    const int64_t width = g.resized_w * channels_;
    auto* pixels = c_.scratch->array<float>(g.picture_w * channels_);
    auto* row = c_.scratch->array<float>(width);
    auto* out = c_.scratch->array<float>(g.resized_h * width);
    std::fill_n(out, g.resized_h * width, 0.f);
    int64_t begin = 0;
    for (int64_t r = 0; r < g.picture_h; ++r) {
      while (begin < g.resized_h && down.first[begin] + down.count[begin] <= r) ++begin;
      if (begin == g.resized_h || down.first[begin] > r) continue;
      read_row(rgb + r * g.picture_w * 3, pixels);
      resize_row(pixels, across, row);
      for (int64_t y = begin; y < g.resized_h && down.first[y] <= r; ++y) {
        const float weight = down.weight[y * down.width + r - down.first[y]];
        for (int64_t x = 0; x < width; ++x) out[y * width + x] += row[x] * weight;
      }
    }
    return out;
  }

  // One row's channels in the network's order.
  void read_row(const uint8_t* rgb, float* out) const {
    const int red = a_.color == PixelOrder::kRgb ? 0 : 2;
    for (int64_t x = 0; x < geometry_.picture_w; ++x, rgb += 3) {
      if (a_.color == PixelOrder::kGray) {
        *out++ = static_cast<float>((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + 32768) >> 16);
      } else {
        *out++ = rgb[red];
        *out++ = rgb[1];
        *out++ = rgb[2 - red];
      }
    }
  }

  void resize_row(const float* pixels, const Taps& t, float* out) const {
    for (int64_t x = 0; x < geometry_.resized_w; ++x)
      for (int64_t k = 0; k < channels_; ++k) {
        const float* in = pixels + t.first[x] * channels_ + k;
        float sum = 0;
        for (int64_t i = 0; i < t.count[x]; ++i) sum += in[i * channels_] * t.weight[x * t.width + i];
        *out++ = sum;
      }
  }

  static double channel(const std::vector<double>& values, int64_t k, double missing) {
    return values.empty() ? missing : values.size() == 1 ? values[0] : values[at(k)];
  }

  // Padding, normalisation, layout, type.
  template <typename C>
  void write(const float* pixels) {
    const ResizeGeometry& g = geometry_;
    const bool planes = a_.layout == PixelLayout::kNchw || a_.layout == PixelLayout::kChw;
    const int64_t step = planes ? 1 : channels_, plane = planes ? g.input_h * g.input_w : 1;
    C* out = result_buffer<C>(c_, c_.out());
    for (int64_t k = 0; k < channels_; ++k) {
      const C scale = static_cast<C>(a_.scale), mean = static_cast<C>(channel(a_.mean, k, 0)),
              deviation = static_cast<C>(channel(a_.std, k, 1));
      const C padding = (static_cast<C>(channel(a_.pad_value, k, 0)) * scale - mean) / deviation;
      for (int64_t y = 0; y < g.input_h; ++y) {
        C* to = out + k * plane + y * g.input_w * step;
        const bool row_inside = y >= g.pad_y && y < g.pad_y + g.resized_h;
        const float* from = row_inside ? pixels + (y - g.pad_y) * g.resized_w * channels_ + k : nullptr;
        for (int64_t x = 0; x < g.input_w; ++x) {
          const bool inside = row_inside && x >= g.pad_x && x < g.pad_x + g.resized_w;
          to[x * step] =
              inside ? (static_cast<C>(from[(x - g.pad_x) * channels_]) * scale - mean) / deviation : padding;
        }
      }
    }
    // store() truncates: whole numbers are the nearest ones, within the type.
    if (is_integer(a_.dtype)) round_all(out, c_.out().count());
    finish(c_, c_.out(), out);
  }

  template <typename C>
  void round_all(C* values, int64_t count) const {
    const int bits = dtype_bits(a_.dtype);
    const bool is_unsigned = to_string(a_.dtype).front() == 'u';
    const C hi = std::ldexp(C(1), is_unsigned ? bits : bits - 1), lo = is_unsigned ? 0 : -hi;
    for (int64_t i = 0; i < count; ++i)
      values[i] = std::clamp(std::nearbyint(values[i]), lo, bits > 24 ? hi / 2 : hi - 1);
  }

  KernelContext& c_;
  const PreprocessAttrs& a_;
  const int64_t channels_;
  ResizeGeometry geometry_;
};

}  // namespace

Status reference_Preprocess(KernelContext& c) { return Preprocess(c).run(); }

}  // namespace fovea::core
