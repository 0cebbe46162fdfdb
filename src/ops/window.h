// Windows that slide over up to three spatial axes: what convolutions and pools share. The sizes here are the only
// place where padding, dilation and rounding become numbers; inference, reference kernels and libraries' kernels all
// ask it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ir/infer.h"

namespace fovea::core {

inline constexpr int kMaxSpatial = 3;

// ONNX's auto_pad. Imports turn it into explicit pads where those do not depend on the input's size, so what kernels
// see is kNotSet, or kSameUpper or kSameLower where a symbolic size decides.
enum class AutoPad : uint8_t { kNotSet, kSameUpper, kSameLower, kValid };
inline std::span<const std::string_view> enum_names(AutoPad) {
  static constexpr std::array<std::string_view, 4> kNames = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
  return kNames;
}

struct WindowAttrs {
  std::vector<int64_t> strides, dilations;  // one an axis
  std::vector<int64_t> pads;                // begin of every axis, then end of every axis
  AutoPad auto_pad = AutoPad::kNotSet;
  static void window_fields(auto& self, auto&& field) {
    field("strides", self.strides);
    field("pads", self.pads);
    field("dilations", self.dilations);
    field("auto_pad", self.auto_pad);
  }
};

// One axis in numbers. Output o looks at inputs o * stride - pad_begin + k * dilation, for k in [0, kernel).
struct Window {
  int64_t in = 1, out = 1, kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0;
  int64_t extent() const { return (kernel - 1) * dilation + 1; }
};

// Depth, height, width; the missing ones of fewer spatial axes come first and have size 1.
struct Windows {
  int spatial = 0;
  std::array<Window, kMaxSpatial> axes;
  Window& axis(int i) { return axes[static_cast<size_t>(kMaxSpatial - spatial + i)]; }  // of `spatial` many
  const Window& axis(int i) const { return axes[static_cast<size_t>(kMaxSpatial - spatial + i)]; }
  int64_t in_count() const { return axes[0].in * axes[1].in * axes[2].in; }
  int64_t out_count() const { return axes[0].out * axes[1].out * axes[2].out; }
  int64_t kernel_count() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
};

// Padding that makes ceil(in / stride) windows fit; the odd one goes to the end (upper) or the beginning (lower).
void split_padding(int64_t total, bool more_at_end, int64_t& begin, int64_t& end);

// From in, kernel, and the attributes: everything else. Fails where no window fits.
Status place_windows(const WindowAttrs& attrs, bool ceil_mode, Windows& windows);

// Defaults for `spatial` axes, and VALID and SAME as explicit pads where that is possible. kernel: constant or
// symbolic.
void complete_window(WindowAttrs& attrs, size_t spatial, std::span<const Dim> in, std::span<const Dim> kernel);
// Are all vectors of the right length and in range? What is wrong, or nothing.
Status check_window(const WindowAttrs& attrs, size_t spatial);
// kernel_shape and the like: positive, small enough that no size overflows.
Status check_extents(std::string_view name, std::span<const int64_t> values, size_t spatial, int64_t least);
// Inputs of a convolution: floats of one type.
Status check_conv_types(InferContext& c);
Status check_conv_bias(InferContext& c, const Dim& outputs);
// The output's size along axis i.
Dim window_output(const WindowAttrs& attrs, bool ceil_mode, size_t i, const Dim& in, const Dim& kernel);

}  // namespace fovea::core
