#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fovea::core {

enum class ResizeInterpolation : uint8_t { kNearest, kLinear, kCubic };
inline std::span<const std::string_view> enum_names(ResizeInterpolation) {
  static constexpr std::array<std::string_view, 3> kNames = {"nearest", "linear", "cubic"};
  return kNames;
}

// How a place of the output becomes a place of the input.
enum class ResizeCoordinates : uint8_t {
  kHalfPixel,
  kHalfPixelSymmetric,
  kPytorchHalfPixel,
  kAlignCorners,
  kAsymmetric,
  kTfCropAndResize,
  kTfHalfPixelForNn,
};
inline std::span<const std::string_view> enum_names(ResizeCoordinates) {
  static constexpr std::array<std::string_view, 7> kNames = {
      "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",   "align_corners",
      "asymmetric", "tf_crop_and_resize",   "tf_half_pixel_for_nn",
  };
  return kNames;
}

enum class ResizeNearest : uint8_t { kRoundPreferFloor, kRoundPreferCeil, kFloor, kCeil };
inline std::span<const std::string_view> enum_names(ResizeNearest) {
  static constexpr std::array<std::string_view, 4> kNames = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                                             "ceil"};
  return kNames;
}

enum class ResizeAspect : uint8_t { kStretch, kNotLarger, kNotSmaller };
inline std::span<const std::string_view> enum_names(ResizeAspect) {
  static constexpr std::array<std::string_view, 3> kNames = {"stretch", "not_larger", "not_smaller"};
  return kNames;
}

// Inputs: x, roi (float, begins then ends; crop only), scales (float32) or sizes (int64), each with one value for each
// of `axes`.
struct ResizeAttrs {
  ResizeInterpolation mode = ResizeInterpolation::kNearest;
  ResizeCoordinates coordinate_transformation_mode = ResizeCoordinates::kHalfPixel;
  ResizeNearest nearest_mode = ResizeNearest::kRoundPreferFloor;
  double cubic_coeff_a = -0.75;
  bool exclude_outside = false;
  double extrapolation_value = 0;
  bool antialias = false;
  ResizeAspect keep_aspect_ratio_policy = ResizeAspect::kStretch;
  std::vector<int64_t> axes;  // not negative, each once, at least one
  static void fields(auto& self, auto&& field) {
    field("mode", self.mode);
    field("coordinate_transformation_mode", self.coordinate_transformation_mode);
    field("nearest_mode", self.nearest_mode);
    field("cubic_coeff_a", self.cubic_coeff_a);
    field("exclude_outside", self.exclude_outside);
    field("extrapolation_value", self.extrapolation_value);
    field("antialias", self.antialias);
    field("keep_aspect_ratio_policy", self.keep_aspect_ratio_policy);
    field("axes", self.axes);
  }
};

// One axis in numbers.
struct ResizeAxis {
  int64_t in = 1, out = 1;
  float scale = 1;  // as given, or out / in in float32, as ONNX Runtime computes it
  float roi_begin = 0, roi_end = 1;
  bool identity() const { return in == out && scale == 1 && roi_begin == 0 && roi_end == 1; }
};
// x: the input's sizes; roi, scales and sizes: the inputs' elements, empty where absent; axes: one for each dimension
// of x. False where they do not belong together.
bool resize_axes(const ResizeAttrs& attrs, std::span<const int64_t> x, std::span<const float> roi,
                 std::span<const float> scales, std::span<const int64_t> sizes, std::span<ResizeAxis> axes);

}  // namespace fovea::core
