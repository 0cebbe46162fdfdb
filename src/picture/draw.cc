#include "picture/draw.h"

#include <cairo.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <numeric>
#include <string>

#include "base/utf8.h"

namespace fovea::core {
namespace {

constexpr const char* kFont = "DejaVu Sans";
constexpr int64_t kMaxCairoSide = 32767;

struct SurfaceDeleter {
  void operator()(cairo_surface_t* s) const { cairo_surface_destroy(s); }
};
struct ContextDeleter {
  void operator()(cairo_t* c) const { cairo_destroy(c); }
};
using Surface = std::unique_ptr<cairo_surface_t, SurfaceDeleter>;
using Context = std::unique_ptr<cairo_t, ContextDeleter>;

struct Rect {
  double x = 0, y = 0, w = 0, h = 0;
};

// Sizes in pixels, for the whole picture.
struct Style {
  double line, font, padding, corner;
};

Style style_for(const Image& image) {
  const double side = std::sqrt(static_cast<double>(image.height) * static_cast<double>(image.width));
  const double line = std::clamp(std::round(side / 250), 2.0, 12.0);
  const double font = std::clamp(std::round(6 + side / 55), 11.0, 64.0);
  return {line, font, std::round(font * 0.3), line};
}

// Cairo's RGB24: a native 32-bit word 0x00rrggbb a pixel.
Surface to_surface(const Image& image) {
  Surface surface(
      cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(image.width), static_cast<int>(image.height)));
  if (cairo_surface_status(surface.get()) != CAIRO_STATUS_SUCCESS) return nullptr;
  unsigned char* data = cairo_image_surface_get_data(surface.get());
  const int stride = cairo_image_surface_get_stride(surface.get());
  const uint8_t* rgb = image.rgb.data();
  for (int64_t y = 0; y < image.height; ++y) {
    auto* row = reinterpret_cast<uint32_t*>(data + y * stride);
    for (int64_t x = 0; x < image.width; ++x, rgb += 3)
      row[x] = uint32_t{rgb[0]} << 16 | uint32_t{rgb[1]} << 8 | rgb[2];
  }
  cairo_surface_mark_dirty(surface.get());
  return surface;
}

void from_surface(cairo_surface_t* surface, Image& image) {
  cairo_surface_flush(surface);
  const unsigned char* data = cairo_image_surface_get_data(surface);
  const int stride = cairo_image_surface_get_stride(surface);
  uint8_t* rgb = image.rgb.data();
  for (int64_t y = 0; y < image.height; ++y) {
    auto* row = reinterpret_cast<const uint32_t*>(data + y * stride);
    for (int64_t x = 0; x < image.width; ++x, rgb += 3) {
      rgb[0] = static_cast<uint8_t>(row[x] >> 16);
      rgb[1] = static_cast<uint8_t>(row[x] >> 8);
      rgb[2] = static_cast<uint8_t>(row[x]);
    }
  }
}

void set_color(cairo_t* c, Rgb color, double alpha = 1) {
  cairo_set_source_rgba(c, color[0] / 255.0, color[1] / 255.0, color[2] / 255.0, alpha);
}

void rounded_rectangle(cairo_t* c, const Rect& r, double radius) {
  constexpr double kRight = std::numbers::pi / 2;
  radius = std::min({radius, r.w / 2, r.h / 2});
  cairo_new_sub_path(c);
  cairo_arc(c, r.x + r.w - radius, r.y + radius, radius, -kRight, 0);
  cairo_arc(c, r.x + r.w - radius, r.y + r.h - radius, radius, 0, kRight);
  cairo_arc(c, r.x + radius, r.y + r.h - radius, radius, kRight, 2 * kRight);
  cairo_arc(c, r.x + radius, r.y + radius, radius, 2 * kRight, 3 * kRight);
  cairo_close_path(c);
}

// WCAG's relative luminance, 0..1.
double luminance(Rgb color) {
  auto linear = [](uint8_t v) {
    const double s = v / 255.0;
    return s <= 0.04045 ? s / 12.92 : std::pow((s + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
}

// Black or white, whichever stands out more: their contrast is equal at a luminance of 0.179.
Rgb text_color(Rgb background) {
  constexpr Rgb kBlack = {0, 0, 0}, kWhite = {255, 255, 255};
  return luminance(background) > 0.179 ? kBlack : kWhite;
}

Rect box_of(const Detection& d, const Image& image, const Style& style) {
  const auto w = static_cast<double>(image.width), h = static_cast<double>(image.height), half = style.line / 2;
  // The line's outer edge stays inside the picture.
  auto place = [half](double v, double side) {
    return std::clamp(std::round(v), std::min(half, side / 2), std::max(side - half, side / 2));
  };
  const double x0 = place(d.x0, w), y0 = place(d.y0, h), x1 = place(d.x1, w), y1 = place(d.y1, h);
  return {x0, y0, x1 - x0, y1 - y0};
}

void draw_box(cairo_t* c, const Rect& box, Rgb color, const Style& style) {
  // A thin rim, dark around light colours, lets the line stand out from a background of its own colour.
  rounded_rectangle(c, box, style.corner);
  set_color(c, text_color(color), 0.5);
  cairo_set_line_width(c, style.line + 2);
  cairo_stroke_preserve(c);
  set_color(c, color);
  cairo_set_line_width(c, style.line);
  cairo_stroke(c);
}

double overlap(const Rect& a, const Rect& b) {
  const double w = std::min(a.x + a.w, b.x + b.w) - std::max(a.x, b.x),
               h = std::min(a.y + a.h, b.y + b.h) - std::max(a.y, b.y);
  return w > 0 && h > 0 ? w * h : 0;
}

// What a tag hides: of other tags, whose text is lost, counted twice, and of each box the share that it covers, for a
// small object suffers more than a large one.
double hidden(const Rect& tag, std::span<const Rect> tags, std::span<const Rect> boxes) {
  double sum = 0;
  for (const Rect& other : tags) sum += 2 * overlap(tag, other) / (other.w * other.h);
  for (const Rect& box : boxes) sum += overlap(tag, box) / std::max(box.w * box.h, 1.0);
  return sum;
}

// A tag of size w x h for the box: above it, below it, or inside; at its left or right edge; the first of the places
// that hide least. Always inside the picture, as far as it fits.
Rect place_tag(const Rect& box, double w, double h, const Image& image, const Style& style, std::span<const Rect> tags,
               std::span<const Rect> boxes) {
  const double half = style.line / 2, left = box.x - half, right = box.x + box.w + half - w;
  const double top = box.y - half, bottom = box.y + box.h + half;
  const auto picture_w = static_cast<double>(image.width), picture_h = static_cast<double>(image.height);
  Rect best;
  double least = std::numeric_limits<double>::infinity();
  for (double y : {top - h, bottom, top, bottom - h}) {
    for (double x : {left, right}) {
      const Rect tag{std::max(0.0, std::min(std::round(x), picture_w - w)),
                     std::max(0.0, std::min(std::round(y), picture_h - h)), w, h};
      const double cost = hidden(tag, tags, boxes);
      if (cost >= least) continue;
      least = cost;
      best = tag;
    }
  }
  return best;
}

// Cairo stops drawing for good at text that is not UTF-8 or holds a zero.
std::string printable(std::string text) {
  for (char& ch : text)
    if (static_cast<uint8_t>(ch) < 0x20 || static_cast<uint8_t>(ch) >= 0x80) ch = '?';
  return text;
}

std::string tag_text(const Detection& d, const ClassesCard& classes) {
  std::string text = fmt::format("{} {:.0f}%", class_name(classes, d.label), 100 * d.score);
  return is_utf8(text) && text.find('\0') == std::string::npos ? text : printable(std::move(text));
}

// A detection ready to be drawn.
struct Mark {
  Rect box, tag;
  Rgb color;
  std::string text;
};

// The tag's size; its place comes later.
Rect tag_size(cairo_t* c, const std::string& text, const Style& style) {
  cairo_text_extents_t extents;
  cairo_font_extents_t font;
  cairo_text_extents(c, text.c_str(), &extents);
  cairo_font_extents(c, &font);
  return {0, 0, std::ceil(extents.x_advance + 2 * style.padding),
          std::ceil(font.ascent + font.descent + style.padding * 0.5)};
}

void draw_tag(cairo_t* c, const Mark& mark, const Style& style) {
  cairo_font_extents_t font;
  cairo_font_extents(c, &font);
  rounded_rectangle(c, mark.tag, style.corner);
  set_color(c, mark.color, 0.92);
  cairo_fill(c);
  set_color(c, text_color(mark.color));
  const double baseline = mark.tag.y + (mark.tag.h - font.ascent - font.descent) / 2 + font.ascent;
  cairo_move_to(c, mark.tag.x + style.padding, std::round(baseline));
  cairo_show_text(c, mark.text.c_str());
}

// Drawable detections, the best first.
std::vector<size_t> by_score(std::span<const Detection> detections) {
  std::vector<size_t> order;
  for (size_t i = 0; i < detections.size(); ++i) {
    const Detection& d = detections[i];
    if (!std::isnan(d.x0 + d.y0 + d.x1 + d.y1 + d.score)) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return detections[a].score > detections[b].score; });
  return order;
}

// The best detection chooses its tag's place first and is drawn last, on top.
void draw_all(cairo_t* c, std::span<const Detection> detections, const ClassesCard& classes, const Image& image) {
  const Style style = style_for(image);
  cairo_select_font_face(c, kFont, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
  cairo_set_font_size(c, style.font);
  std::vector<Mark> marks;
  std::vector<Rect> boxes, tags;
  for (size_t i : by_score(detections)) {
    const Detection& d = detections[i];
    std::string text = tag_text(d, classes);
    boxes.push_back(box_of(d, image, style));
    marks.push_back({boxes.back(), tag_size(c, text, style), class_color(d.label), std::move(text)});
  }
  for (Mark& mark : marks) {
    mark.tag = place_tag(mark.box, mark.tag.w, mark.tag.h, image, style, tags, boxes);
    tags.push_back(mark.tag);
  }
  std::reverse(marks.begin(), marks.end());
  for (const Mark& mark : marks) draw_box(c, mark.box, mark.color, style);
  for (const Mark& mark : marks) draw_tag(c, mark, style);
}

}  // namespace

Rgb class_color(int64_t label) {
  // The golden angle takes successive hues far apart; three lightnesses tell classes of near hue from each other.
  const auto n = static_cast<double>(((label % 4096) + 4096) % 4096);
  const double hue = std::fmod(0.58 + n * 0.61803398875, 1.0) * 6;
  constexpr std::array<double, 3> kSaturation = {0.85, 0.62, 0.95}, kValue = {0.98, 1.0, 0.86};
  const auto kind = static_cast<size_t>(n) % 3;
  auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue, 6.0);
    const double level = kValue[kind] * (1 - kSaturation[kind] * std::clamp(std::min(k, 4 - k), 0.0, 1.0));
    return static_cast<uint8_t>(std::lround(255 * level));
  };
  return {channel(5), channel(3), channel(1)};
}

Status draw_detections(Image& image, std::span<const Detection> detections, const ClassesCard& classes) {
  if (std::max(image.height, image.width) > kMaxCairoSide)
    return unsupported("drawing: expected a picture with sides of at most {} pixels, found {}x{}", kMaxCairoSide,
                       image.width, image.height);
  Surface surface = to_surface(image);
  if (!surface) return system_error("drawing: not enough memory for {}x{} pixels", image.width, image.height);
  Context context(cairo_create(surface.get()));
  cairo_t* c = context.get();
  draw_all(c, detections, classes, image);
  if (cairo_status(c) != CAIRO_STATUS_SUCCESS)
    return system_error("drawing: {}", cairo_status_to_string(cairo_status(c)));
  from_surface(surface.get(), image);
  return {};
}

}  // namespace fovea::core
