// Preprocess: a picture, uint8 [H,W,3], rows of RGB from the top, becomes one row of a network's input, [1,c,h,w] or as
// `layout` says.
//
//   1. color: rgb; bgr; or gray, one channel, Pillow's convert("L"): (19595 R + 38470 G + 7471 B + 32768) >> 16
//   2. resize and padding as base/resize_rule.h says, padding with pad_value. Bilinear with half-pixel centres, in
//   float32:
//        without antialias as OpenCV's resize(INTER_LINEAR) of a float picture: two taps an axis. OpenCV's form for 8
//        bits rounds its weights to 1/2048 and its result to whole numbers; that is not reproduced. with antialias as
//        Pillow's resize(BILINEAR), torchvision's antialias=True: a triangle as wide as the shrinking factor. Pillow
//        rounds to 8 bits after each of its two passes; here nothing is rounded.
//      A picture that has the size already passes unchanged.
//   3. (pixel * scale - mean) / std, a channel at a time; padding too
//
// The way back from boxes to the picture uses the same resize_geometry().
#include "ops/preprocess.h"

#include "ops/op.h"

namespace fovea::core {
namespace {

constexpr int64_t kMaxSide = 1 << 14, kMaxPicture = 1 << 28;

bool in_range(int64_t side) { return side >= 1 && side <= kMaxSide; }

// base/resize_rule.cc's arithmetic on symbols.
Dim scaled(const Dim& side, const Dim& numerator, const Dim& denominator, ResizeRounding rounding) {
  const Dim total = side * numerator, quotient = floor_div(total, denominator);
  if (rounding == ResizeRounding::kDown) return max(quotient, 1);
  const Dim twice = 2 * floor_mod(total, denominator);
  const Expr odd = equal(floor_mod(quotient, 2), 1);
  const Expr up = logical_or(less(denominator, twice), logical_and(equal(twice, denominator), odd));
  return max(select(up, quotient + 1, quotient), 1);
}

Dim padded(const Dim& side, int64_t divisor) { return ceil_div(side, divisor) * divisor; }

// The two sides of what the rule gives for a picture of height x width.
std::pair<Dim, Dim> output_sides(const ResizeRule& rule, const Dim& height, const Dim& width) {
  switch (rule.mode) {
    case ResizeMode::kStretch:
    case ResizeMode::kLetterbox: return {rule.height, rule.width};
    case ResizeMode::kNone: return {padded(height, rule.divisible_by), padded(width, rule.divisible_by)};
    case ResizeMode::kShortestSide: break;
  }
  const Dim shorter = min(height, width), longer = max(height, width);
  const Expr by_min = less_equal(longer * rule.min_side, shorter * rule.max_side);
  const Dim numerator = select(by_min, rule.min_side, rule.max_side), denominator = select(by_min, shorter, longer);
  return {padded(scaled(height, numerator, denominator, rule.rounding), rule.divisible_by),
          padded(scaled(width, numerator, denominator, rule.rounding), rule.divisible_by)};
}

Status check_channels(InferContext& c, const std::vector<double>& values, std::string_view name) {
  const auto channels = static_cast<size_t>(c.attrs<PreprocessAttrs>().channels());
  if (values.size() <= 1 || values.size() == channels) return {};
  return c.error(fmt::format("{}: expected 1 or {} numbers, found {}", name, channels, values.size()));
}

Status check_attributes(InferContext& c) {
  const PreprocessAttrs& a = c.attrs<PreprocessAttrs>();
  if (!valid_rule(a.resize))
    return c.error(fmt::format("resize = {}: a side is not in [1, {}]", to_string(a.resize.mode), kMaxSide));
  FOVEA_TRY(check_channels(c, a.pad_value, "pad_value"));
  FOVEA_TRY(check_channels(c, a.mean, "mean"));
  FOVEA_TRY(check_channels(c, a.std, "std"));
  if (std::find(a.std.begin(), a.std.end(), 0.0) != a.std.end()) return c.error("std: expected numbers other than 0");
  if (!is_float(a.dtype) && !is_integer(a.dtype))
    return c.error(fmt::format("dtype: expected a number type, found {}", to_string(a.dtype)));
  return {};
}

Status infer(InferContext& c) {
  const PreprocessAttrs& a = c.attrs<PreprocessAttrs>();
  FOVEA_TRY(c.expect_dtype(0, c.dtype(0) == DType::kUInt8, "uint8"));
  FOVEA_TRY(c.expect_rank(0, 3));
  const Shape& picture = c.shape(0);
  if (picture[2].is_const() && !picture[2].is_const(3))
    return c.error(fmt::format("expected a picture [H,W,3], found {}", to_string(picture)));
  for (size_t i = 0; i < 2; ++i)
    if (picture[i].is_const() && (picture[i].int_value() < 1 || picture[i].int_value() > kMaxPicture))
      return c.error(
          fmt::format("expected a picture with sides of 1 to {} pixels, found {}", kMaxPicture, to_string(picture)));
  FOVEA_TRY(check_attributes(c));
  const auto [height, width] = output_sides(a.resize, picture[0], picture[1]);
  const bool first = a.layout == PixelLayout::kNchw || a.layout == PixelLayout::kChw,
             batch = a.layout == PixelLayout::kNchw || a.layout == PixelLayout::kNhwc;
  Shape shape = first ? Shape{a.channels(), height, width} : Shape{height, width, a.channels()};
  if (batch) shape.insert(shape.begin(), Dim(1));
  c.set_output(0, a.dtype, std::move(shape));
  return {};
}

constexpr std::string_view kOrders[] = {"rgb", "bgr", "gray"};
constexpr std::string_view kLayouts[] = {"nchw", "nhwc", "chw", "hwc"};
// As base/resize_rule.h names them; a test holds the two together.
constexpr std::string_view kModes[] = {"none", "stretch", "letterbox", "shortest_side"};
constexpr std::string_view kAligns[] = {"center", "top_left"};
constexpr std::string_view kRoundings[] = {"nearest", "down"};

}  // namespace

bool valid_rule(const ResizeRule& rule) {
  const bool fixed = rule.mode == ResizeMode::kStretch || rule.mode == ResizeMode::kLetterbox;
  if (fixed && !(in_range(rule.height) && in_range(rule.width))) return false;
  if (rule.mode == ResizeMode::kShortestSide && !(in_range(rule.min_side) && in_range(rule.max_side))) return false;
  return in_range(rule.divisible_by);
}

std::span<const std::string_view> enum_names(PixelOrder) { return kOrders; }
std::span<const std::string_view> enum_names(PixelLayout) { return kLayouts; }
std::span<const std::string_view> enum_names(ResizeMode) { return kModes; }
std::span<const std::string_view> enum_names(ResizeAlign) { return kAligns; }
std::span<const std::string_view> enum_names(ResizeRounding) { return kRoundings; }

const OpDef op_Preprocess = {
    .info = {.name = "Preprocess", .attrs = attrs_codec<PreprocessAttrs>(), .infer = infer},
};

}  // namespace fovea::core
