#include "base/resize_rule.h"

#include <algorithm>
#include <array>
#include <utility>

namespace fovea::core {
namespace {

constexpr std::array<std::string_view, 4> kModes = {"none", "stretch", "letterbox", "shortest_side"};
constexpr std::array<std::string_view, 2> kAligns = {"center", "top_left"};
constexpr std::array<std::string_view, 2> kRoundings = {"nearest", "down"};

template <typename E, size_t N>
std::optional<E> find_name(const std::array<std::string_view, N>& names, std::string_view s) {
  auto it = std::find(names.begin(), names.end(), s);
  if (it == names.end()) return std::nullopt;
  return static_cast<E>(it - names.begin());
}

// side * numerator / denominator, rounded, at least 1.
int64_t scaled(int64_t side, int64_t numerator, int64_t denominator, ResizeRounding rounding) {
  int64_t product = side * numerator;
  int64_t quotient = product / denominator, twice = 2 * (product % denominator);
  if (rounding == ResizeRounding::kNearest && (twice > denominator || (twice == denominator && quotient % 2 == 1)))
    ++quotient;
  return std::max<int64_t>(quotient, 1);
}

void set_resized(ResizeGeometry& g, const ResizeRule& rule, int64_t numerator, int64_t denominator) {
  g.resized_h = scaled(g.picture_h, numerator, denominator, rule.rounding);
  g.resized_w = scaled(g.picture_w, numerator, denominator, rule.rounding);
}

void letterbox(ResizeGeometry& g, const ResizeRule& rule) {
  // The ratio is min(height / h, width / w), compared without dividing.
  bool by_height = rule.height * g.picture_w <= rule.width * g.picture_h;
  set_resized(g, rule, by_height ? rule.height : rule.width, by_height ? g.picture_h : g.picture_w);
  g.input_h = rule.height;
  g.input_w = rule.width;
  if (rule.align == ResizeAlign::kCenter) {
    g.pad_y = (g.input_h - g.resized_h) / 2;
    g.pad_x = (g.input_w - g.resized_w) / 2;
  }
}

void shortest_side(ResizeGeometry& g, const ResizeRule& rule) {
  auto [shorter, longer] = std::minmax(g.picture_h, g.picture_w);
  bool by_min = longer * rule.min_side <= rule.max_side * shorter;
  set_resized(g, rule, by_min ? rule.min_side : rule.max_side, by_min ? shorter : longer);
}

int64_t padded(int64_t side, int64_t divisor) { return (side + divisor - 1) / divisor * divisor; }

}  // namespace

std::string_view to_string(ResizeMode mode) { return kModes[static_cast<size_t>(mode)]; }
std::string_view to_string(ResizeAlign align) { return kAligns[static_cast<size_t>(align)]; }
std::string_view to_string(ResizeRounding rounding) { return kRoundings[static_cast<size_t>(rounding)]; }
std::optional<ResizeMode> resize_mode_from_string(std::string_view s) { return find_name<ResizeMode>(kModes, s); }
std::optional<ResizeAlign> resize_align_from_string(std::string_view s) { return find_name<ResizeAlign>(kAligns, s); }
std::optional<ResizeRounding> resize_rounding_from_string(std::string_view s) {
  return find_name<ResizeRounding>(kRoundings, s);
}

ResizeGeometry resize_geometry(const ResizeRule& rule, int64_t height, int64_t width) {
  ResizeGeometry g;
  g.picture_h = g.resized_h = height;
  g.picture_w = g.resized_w = width;
  switch (rule.mode) {
    case ResizeMode::kNone: break;
    case ResizeMode::kStretch:
      g.input_h = g.resized_h = rule.height;
      g.input_w = g.resized_w = rule.width;
      break;
    case ResizeMode::kLetterbox: letterbox(g, rule); break;
    case ResizeMode::kShortestSide: shortest_side(g, rule); break;
  }
  if (rule.mode == ResizeMode::kNone || rule.mode == ResizeMode::kShortestSide) {
    g.input_h = padded(g.resized_h, rule.divisible_by);
    g.input_w = padded(g.resized_w, rule.divisible_by);
  }
  g.scale_y = static_cast<double>(g.resized_h) / static_cast<double>(g.picture_h);
  g.scale_x = static_cast<double>(g.resized_w) / static_cast<double>(g.picture_w);
  return g;
}

}  // namespace fovea::core
