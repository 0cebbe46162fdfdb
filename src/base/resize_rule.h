// How a picture of any size becomes what the network sees, in numbers: the one place that the operator Preprocess
// and the way back from boxes to pixels both take them from.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fovea::core {

enum class ResizeMode : uint8_t {
  kNone,          // the picture as it is
  kStretch,       // to height x width, the aspect ratio given up (OpenCV's resize, torchvision's Resize((h, w)))
  kLetterbox,     // the largest that fits into height x width, the rest padded (YOLO)
  kShortestSide,  // shorter side to min_side unless the longer one then exceeds max_side (DETR, torchvision's R-CNNs)
};

enum class ResizeAlign : uint8_t {
  kCenter,   // padding on both sides; an odd pixel goes to the bottom or right
  kTopLeft,  // padding at the bottom and right only
};

// A side that comes out between two integers.
enum class ResizeRounding : uint8_t {
  kNearest,  // halves to the even neighbour, as Python's round() (Ultralytics)
  kDown,     // int() (DETR, YOLOX, torchvision)
};

std::string_view to_string(ResizeMode mode);          // "none", "stretch", "letterbox", "shortest_side"
std::string_view to_string(ResizeAlign align);        // "center", "top_left"
std::string_view to_string(ResizeRounding rounding);  // "nearest", "down"
std::optional<ResizeMode> resize_mode_from_string(std::string_view s);
std::optional<ResizeAlign> resize_align_from_string(std::string_view s);
std::optional<ResizeRounding> resize_rounding_from_string(std::string_view s);

struct ResizeRule {
  ResizeMode mode = ResizeMode::kNone;
  int64_t height = 0, width = 0;       // stretch, letterbox: the network's size in pixels
  int64_t min_side = 0, max_side = 0;  // shortest_side: in pixels
  int64_t divisible_by = 1;            // shortest_side, none: padded at the bottom and right to a multiple of this
  ResizeAlign align = ResizeAlign::kCenter;            // letterbox
  ResizeRounding rounding = ResizeRounding::kNearest;  // letterbox, shortest_side

  bool operator==(const ResizeRule&) const = default;
};

// All in pixels. With half-pixel centres a point (x, y) of the picture, its top left corner being (0, 0), lies at
// (x * scale_x + pad_x, y * scale_y + pad_y) of the network's input.
struct ResizeGeometry {
  int64_t picture_h = 0, picture_w = 0;  // before
  int64_t resized_h = 0, resized_w = 0;  // after resizing, without padding
  int64_t input_h = 0, input_w = 0;      // with padding: the spatial extents of the network's input
  int64_t pad_y = 0, pad_x = 0;          // padding at the top and left
  double scale_y = 1, scale_x = 1;       // resized / picture, each axis its own: rounding makes them differ a little

  bool operator==(const ResizeGeometry&) const = default;
};

// The geometry for a picture of height x width pixels, both at least 1. Sides are computed in exact integer
// arithmetic, never 0. A rule read from a model card is in range; sides up to 2^28 and rules up to 2^16 cannot
// overflow.
ResizeGeometry resize_geometry(const ResizeRule& rule, int64_t height, int64_t width);

}  // namespace fovea::core
