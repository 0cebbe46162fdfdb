// Attributes of DecodeBoxes; what they compute stands in decode_boxes.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fovea::core {

enum class DeltaOrder : uint8_t { kXywh, kYxhw };
enum class AnchorForm : uint8_t {
  kCentre,    // centre x, centre y, width, height
  kYxCentre,  // centre y, centre x, height, width
  kXyxy,      // two corners, x first
};
enum class CornerOrder : uint8_t { kXyxy, kYxyx };

std::span<const std::string_view> enum_names(DeltaOrder);
std::span<const std::string_view> enum_names(AnchorForm);
std::span<const std::string_view> enum_names(CornerOrder);

struct DecodeBoxesAttrs {
  DeltaOrder deltas = DeltaOrder::kXywh;
  AnchorForm anchors = AnchorForm::kCentre;
  std::vector<double> variances;  // the four deltas, in their order, are multiplied with these; empty: 1
  std::vector<double> scales;     // and divided by these; empty: 1
  double max_log_size = 0;        // scaled deltas of width and height are cut to this; 0: never
  CornerOrder output = CornerOrder::kXyxy;
  bool clip = false;  // to [0, clip_width] and [0, clip_height], or to the size in input 2
  double clip_height = 1, clip_width = 1;

  static void fields(auto& self, auto&& field) {
    field("deltas", self.deltas);
    field("anchors", self.anchors);
    field("variances", self.variances);
    field("scales", self.scales);
    field("max_log_size", self.max_log_size);
    field("output", self.output);
    field("clip", self.clip);
    field("clip_height", self.clip_height);
    field("clip_width", self.clip_width);
  }
};

}  // namespace fovea::core
