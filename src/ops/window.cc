#include "ops/window.h"

#include <algorithm>

namespace fovea::core {
namespace {

constexpr int64_t kMaxExtent =
    int64_t{1} << 24;  // products with each other and with any size that fits into memory do not overflow

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool is_same(AutoPad pad) { return pad == AutoPad::kSameUpper || pad == AutoPad::kSameLower; }

int64_t same_padding(const Window& w) {
  return std::max<int64_t>(0, (ceil_div(w.in, w.stride) - 1) * w.stride + w.extent() - w.in);
}

// The total padding of SAME along axis i, if it is the same for every input size the model may get.
std::optional<int64_t> constant_same_padding(const WindowAttrs& attrs, size_t i, const Dim& in, const Dim& kernel) {
  auto in_range = [](int64_t v) { return v >= 1 && v <= kMaxExtent; };
  if (!kernel.is_const() || !in_range(kernel.int_value()) || !in_range(attrs.dilations[i]) ||
      !in_range(attrs.strides[i]))
    return std::nullopt;
  Window w{.kernel = kernel.int_value(), .stride = attrs.strides[i], .dilation = attrs.dilations[i]};
  if (w.stride == 1) return w.extent() - 1;
  if (!in.is_const() || in.int_value() > (int64_t{1} << 40)) return std::nullopt;
  w.in = in.int_value();
  return same_padding(w);
}

}  // namespace

void split_padding(int64_t total, bool more_at_end, int64_t& begin, int64_t& end) {
  const int64_t less = total / 2, more = total - less;
  begin = more_at_end ? less : more;
  end = more_at_end ? more : less;
}

Status check_extents(std::string_view name, std::span<const int64_t> values, size_t spatial, int64_t least) {
  if (values.size() != spatial)
    return invalid_model("attribute '{}': expected {} values for {} spatial axes, found {}", name, spatial, spatial,
                         values.size());
  for (int64_t v : values)
    if (v < least || v > kMaxExtent)
      return invalid_model("attribute '{}': expected values in [{}, {}], found {}", name, least, kMaxExtent, v);
  return {};
}

Status check_window(const WindowAttrs& attrs, size_t spatial) {
  if (spatial < 1 || spatial > kMaxSpatial)
    return unsupported("{} spatial axes; 1 to {} are supported", spatial, kMaxSpatial);
  FOVEA_TRY(check_extents("strides", attrs.strides, spatial, 1));
  FOVEA_TRY(check_extents("dilations", attrs.dilations, spatial, 1));
  if (attrs.pads.size() != 2 * spatial)
    return invalid_model("attribute 'pads': expected {} values for {} spatial axes, found {}", 2 * spatial, spatial,
                         attrs.pads.size());
  return check_extents("pads", attrs.pads, 2 * spatial, 0);
}

Status check_conv_types(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)), "a floating-point type"));
  for (size_t i = 1; i < c.input_count(); ++i)
    if (c.has(i))
      FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  return {};
}

Status check_conv_bias(InferContext& c, const Dim& outputs) {
  if (!c.has(2)) return {};
  FOVEA_TRY(c.expect_rank(2, 1));
  const Dim& bias = c.shape(2)[0];
  if (bias.is_const() && outputs.is_const() && !(bias == outputs))
    return c.error(fmt::format("a bias of {} for {} output channels", bias.str(), outputs.str()));
  return {};
}

void complete_window(WindowAttrs& attrs, size_t spatial, std::span<const Dim> in, std::span<const Dim> kernel) {
  if (attrs.strides.empty()) attrs.strides.assign(spatial, 1);
  if (attrs.dilations.empty()) attrs.dilations.assign(spatial, 1);
  if (attrs.pads.empty() || attrs.auto_pad != AutoPad::kNotSet) attrs.pads.assign(2 * spatial, 0);
  if (attrs.auto_pad == AutoPad::kValid) attrs.auto_pad = AutoPad::kNotSet;
  if (!is_same(attrs.auto_pad) || attrs.strides.size() != spatial || attrs.dilations.size() != spatial) return;
  std::vector<int64_t> pads(2 * spatial);
  for (size_t i = 0; i < spatial; ++i) {
    auto total = constant_same_padding(attrs, i, in[i], kernel[i]);
    if (!total) return;
    split_padding(*total, attrs.auto_pad == AutoPad::kSameUpper, pads[i], pads[i + spatial]);
  }
  attrs.pads = std::move(pads);
  attrs.auto_pad = AutoPad::kNotSet;
}

Dim window_output(const WindowAttrs& attrs, bool ceil_mode, size_t i, const Dim& in, const Dim& kernel) {
  const Dim stride = attrs.strides[i];
  if (is_same(attrs.auto_pad)) return ceil_div(in, stride);
  const Dim begin = attrs.pads[i], end = attrs.pads[i + attrs.strides.size()];
  const Dim rest = in + begin + end - (kernel - 1) * Dim(attrs.dilations[i]) - 1;
  if (!ceil_mode) return floor_div(rest, stride) + 1;
  const Dim rounded_up = ceil_div(rest, stride) + 1;
  // A window that would start in the padding at the end is left out. Only a stride past the window's own part of the
  // input brings that about.
  const Dim starts_inside = floor_div(in + begin - 1, stride) + 1;
  const Dim own = (kernel - 1) * Dim(attrs.dilations[i]) + 1 - end;
  return own.lo() >= attrs.strides[i] ? rounded_up : min(rounded_up, starts_inside);
}

Status place_windows(const WindowAttrs& attrs, bool ceil_mode, Windows& windows) {
  const auto spatial = static_cast<size_t>(windows.spatial);
  for (size_t i = 0; i < spatial; ++i) {
    Window& w = windows.axis(static_cast<int>(i));
    if (w.kernel < 1 || w.kernel > kMaxExtent)
      return invalid_argument("a window of size {} along spatial axis {}", w.kernel, i);
    w.stride = attrs.strides[i], w.dilation = attrs.dilations[i];
    w.pad_begin = attrs.pads[i], w.pad_end = attrs.pads[i + spatial];
    if (is_same(attrs.auto_pad)) {
      split_padding(same_padding(w), attrs.auto_pad == AutoPad::kSameUpper, w.pad_begin, w.pad_end);
      w.out = ceil_div(w.in, w.stride);
      continue;
    }
    const int64_t rest = w.in + w.pad_begin + w.pad_end - w.extent();
    if (rest < 0)
      return invalid_argument(
          "a window of extent {} does not fit into {} inputs with padding {} and {} along spatial axis {}", w.extent(),
          w.in, w.pad_begin, w.pad_end, i);
    w.out = (ceil_mode ? ceil_div(rest, w.stride) : rest / w.stride) + 1;
    if (ceil_mode && (w.out - 1) * w.stride >= w.in + w.pad_begin) --w.out;
  }
  return {};
}

}  // namespace fovea::core
