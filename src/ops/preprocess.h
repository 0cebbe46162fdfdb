// Attributes of Preprocess; what it computes stands in preprocess.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/resize_rule.h"

namespace fovea::core {

enum class PixelOrder : uint8_t { kRgb, kBgr, kGray };
enum class PixelLayout : uint8_t { kNchw, kNhwc, kChw, kHwc };  // the last two: without a batch axis

std::span<const std::string_view> enum_names(PixelOrder);
std::span<const std::string_view> enum_names(PixelLayout);
std::span<const std::string_view> enum_names(ResizeMode);
std::span<const std::string_view> enum_names(ResizeAlign);
std::span<const std::string_view> enum_names(ResizeRounding);

struct PreprocessAttrs {
  ResizeRule resize;
  bool antialias = false;
  PixelOrder color = PixelOrder::kRgb;
  // One number for all channels or one for each, in the order of `color`; empty: the default.
  std::vector<double> pad_value;  // 0..255, default 0
  double scale = 1;
  std::vector<double> mean;  // default 0
  std::vector<double> std;   // default 1
  PixelLayout layout = PixelLayout::kNchw;
  DType dtype = DType::kFloat32;  // of the output

  static void fields(auto& self, auto&& field) {
    field("resize", self.resize.mode);
    field("height", self.resize.height);
    field("width", self.resize.width);
    field("min_side", self.resize.min_side);
    field("max_side", self.resize.max_side);
    field("divisible_by", self.resize.divisible_by);
    field("align", self.resize.align);
    field("rounding", self.resize.rounding);
    field("antialias", self.antialias);
    field("color", self.color);
    field("pad_value", self.pad_value);
    field("scale", self.scale);
    field("mean", self.mean);
    field("std", self.std);
    field("layout", self.layout);
    field("dtype", self.dtype);
  }

  int channels() const { return color == PixelOrder::kGray ? 1 : 3; }
};

// Is the rule one that resize_geometry() takes: sides in [1, 2^14]?
bool valid_rule(const ResizeRule& rule);

}  // namespace fovea::core
