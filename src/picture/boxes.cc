#include "picture/boxes.h"

namespace fovea::core {
namespace {

using Corners = std::array<double, 4>;  // x0, y0, x1, y1

Corners corners_of(const std::array<float, 4>& box, BoxFormat format) {
  const double a = box[0], b = box[1], c = box[2], d = box[3];
  switch (format) {
    case BoxFormat::kXyxy: return {a, b, c, d};
    case BoxFormat::kYxyx: return {b, a, d, c};
    case BoxFormat::kCxcywh: return {a - c / 2, b - d / 2, a + c / 2, b + d / 2};
    case BoxFormat::kXywh: return {a, b, a + c, b + d};
  }
  return {};
}

double along(double v, double unit, double pad, double scale) { return (v * unit - pad) / scale; }

// Comparisons that are false for NaN leave it alone.
double clipped(double v, int64_t side) {
  const auto top = static_cast<double>(side);
  return v < 0 ? 0 : v > top ? top : v;
}

}  // namespace

std::array<float, 4> box_to_picture(std::array<float, 4> box, const OutputsCard& outputs, const ResizeGeometry& g) {
  const bool input = outputs.relative_to == BoxReference::kInput;
  const double unit_x = outputs.normalized ? static_cast<double>(input ? g.input_w : g.picture_w) : 1;
  const double unit_y = outputs.normalized ? static_cast<double>(input ? g.input_h : g.picture_h) : 1;
  const double pad_x = input ? static_cast<double>(g.pad_x) : 0, pad_y = input ? static_cast<double>(g.pad_y) : 0;
  const double scale_x = input ? g.scale_x : 1, scale_y = input ? g.scale_y : 1;
  const Corners c = corners_of(box, outputs.box_format);
  auto x = [&](double v) {
    v = along(v, unit_x, pad_x, scale_x);
    return static_cast<float>(outputs.clip_to_picture ? clipped(v, g.picture_w) : v);
  };
  auto y = [&](double v) {
    v = along(v, unit_y, pad_y, scale_y);
    return static_cast<float>(outputs.clip_to_picture ? clipped(v, g.picture_h) : v);
  };
  return {x(c[0]), y(c[1]), x(c[2]), y(c[3])};
}

}  // namespace fovea::core
