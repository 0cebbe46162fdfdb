#include "ops/preprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/reference/testing.h"

namespace fovea::core::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Picture {
  int64_t h, w;
  std::vector<uint8_t> rgb;
  double at(int64_t y, int64_t x, int64_t k) const {
    y = std::clamp<int64_t>(y, 0, h - 1), x = std::clamp<int64_t>(x, 0, w - 1);
    return rgb[static_cast<size_t>((y * w + x) * 3 + k)];
  }
  TensorPtr tensor() const { return Tensor::of<uint8_t>({h, w, 3}, std::span<const uint8_t>(rgb)); }
};

Picture random_picture(std::mt19937& rng, int64_t h, int64_t w) {
  Picture p{h, w, {}};
  for (int64_t i = 0; i < h * w * 3; ++i) p.rgb.push_back(static_cast<uint8_t>(rng()));
  return p;
}

// The definition, pixel by pixel in float64: the four neighbours of the half-pixel position, the border repeated.
double bilinear(const Picture& p, double y, double x, int64_t k) {
  const double top = std::floor(y), left = std::floor(x), dy = y - top, dx = x - left;
  const auto at = [&](int64_t j, int64_t i) {
    return p.at(static_cast<int64_t>(top) + j, static_cast<int64_t>(left) + i, k);
  };
  return (at(0, 0) * (1 - dx) + at(0, 1) * dx) * (1 - dy) + (at(1, 0) * (1 - dx) + at(1, 1) * dx) * dy;
}

// A triangle of `support` around the centre, over the pixels that exist.
double antialiased(const Picture& p, double cy, double cx, double support_y, double support_x, int64_t k) {
  double sum = 0, total = 0;
  for (int64_t y = 0; y < p.h; ++y)
    for (int64_t x = 0; x < p.w; ++x) {
      const double wy = 1 - std::abs(static_cast<double>(y) + 0.5 - cy) / support_y,
                   wx = 1 - std::abs(static_cast<double>(x) + 0.5 - cx) / support_x;
      if (wy > 0 && wx > 0) sum += wy * wx * p.at(y, x, k), total += wy * wx;
    }
  return sum / total;
}

double resized(const Picture& p, const ResizeGeometry& g, bool antialias, int64_t y, int64_t x, int64_t k) {
  const double step_y = static_cast<double>(g.picture_h) / static_cast<double>(g.resized_h),
               step_x = static_cast<double>(g.picture_w) / static_cast<double>(g.resized_w);
  const double cy = (static_cast<double>(y) + 0.5) * step_y, cx = (static_cast<double>(x) + 0.5) * step_x;
  // An axis that keeps its size is left alone.
  if (antialias) return antialiased(p, cy, cx, std::max(step_y, 1.0), std::max(step_x, 1.0), k);
  return bilinear(p, cy - 0.5, cx - 0.5, k);
}

ResizeRule random_rule(std::mt19937& rng) {
  ResizeRule rule;
  rule.mode = static_cast<ResizeMode>(rng() % 4);
  const auto side = [&] { return 1 + static_cast<int64_t>(rng() % 40); };
  rule.height = side(), rule.width = side();
  rule.min_side = side(), rule.max_side = rule.min_side + side();
  if (rule.mode == ResizeMode::kNone || rule.mode == ResizeMode::kShortestSide)
    rule.divisible_by = std::array<int64_t, 3>{1, 8, 32}[rng() % 3];
  rule.align = static_cast<ResizeAlign>(rng() % 2);
  rule.rounding = static_cast<ResizeRounding>(rng() % 2);
  return rule;
}

TEST(Preprocess, EveryRule) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    Picture p = random_picture(rng, 1 + rng() % 50, 1 + rng() % 50);
    PreprocessAttrs a;
    a.resize = random_rule(rng);
    a.antialias = rng() % 2;
    a.color = rng() % 2 ? PixelOrder::kRgb : PixelOrder::kBgr;
    a.layout = static_cast<PixelLayout>(rng() % 4);
    a.pad_value = {114, 0, 255};
    a.scale = rng() % 2 ? 1 : 1. / 255;
    a.mean = {0.485, 0.456, 0.406}, a.std = {0.229, 0.224, 0.225};
    RunOptions options;
    options.strided = rng() % 2, options.symbolic_shapes = rng() % 2;
    auto r = run_op("Preprocess", make_attrs(a), {p.tensor()}, options);
    ASSERT_TRUE(r.ok()) << r.status().message();
    const ResizeGeometry g = resize_geometry(a.resize, p.h, p.w);
    const bool planes = a.layout == PixelLayout::kNchw || a.layout == PixelLayout::kChw,
               batch = a.layout == PixelLayout::kNchw || a.layout == PixelLayout::kNhwc;
    Dims want_dims = planes ? Dims{3, g.input_h, g.input_w} : Dims{g.input_h, g.input_w, 3};
    if (batch) want_dims.insert(want_dims.begin(), 1);
    ASSERT_EQ((*r)[0]->dims(), want_dims);
    for (int64_t k = 0; k < 3; ++k)
      for (int64_t y = 0; y < g.input_h; ++y)
        for (int64_t x = 0; x < g.input_w; ++x) {
          const int64_t py = y - g.pad_y, px = x - g.pad_x;
          const bool inside = py >= 0 && py < g.resized_h && px >= 0 && px < g.resized_w;
          const auto ks = static_cast<size_t>(k);
          const double pixel =
              inside ? resized(p, g, a.antialias, py, px, a.color == PixelOrder::kRgb ? k : 2 - k) : a.pad_value[ks];
          const auto at =
              static_cast<size_t>(planes ? (k * g.input_h + y) * g.input_w + x : (y * g.input_w + x) * 3 + k);
          // OpenCV rounds the position to float32: 2^-23 of 50 pixels, times a step of 255 between neighbours, on two
          // axes.
          const double tolerance = (1.5e-3 * a.scale + 1e-6) / a.std[ks];
          ASSERT_NEAR((*r)[0]->as<float>()[at], (pixel * a.scale - a.mean[ks]) / a.std[ks], tolerance)
              << "channel " << k << " row " << y << " column " << x;
        }
  }
}

TEST(Preprocess, SameSizeIsExact) {
  std::mt19937 rng(5);
  Picture p = random_picture(rng, 17, 9);
  for (bool antialias : {false, true}) {
    PreprocessAttrs a;
    a.resize = {.mode = ResizeMode::kStretch, .height = 17, .width = 9};
    a.antialias = antialias, a.layout = PixelLayout::kHwc;
    auto r = run_op("Preprocess", make_attrs(a), {p.tensor()});
    ASSERT_TRUE(r.ok()) << r.status().message();
    for (size_t i = 0; i < p.rgb.size(); ++i) ASSERT_EQ((*r)[0]->as<float>()[i], p.rgb[i]);
  }
}

TEST(Preprocess, GrayIsPillowsL) {
  Picture p{1, 3, {255, 255, 255, 10, 200, 30, 1, 2, 3}};
  PreprocessAttrs a;
  a.color = PixelOrder::kGray, a.layout = PixelLayout::kChw;
  auto r = run_op("Preprocess", make_attrs(a), {p.tensor()});
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_EQ((*r)[0]->dims(), (Dims{1, 1, 3}));
  EXPECT_THAT((*r)[0]->as<float>(), ElementsAre(255, 124, 2));
}

TEST(Preprocess, WholeNumbersAreRounded) {
  Picture p{1, 2, {0, 0, 0, 255, 255, 255}};
  PreprocessAttrs a;
  a.resize = {.mode = ResizeMode::kStretch, .height = 1, .width = 4};
  a.color = PixelOrder::kGray, a.layout = PixelLayout::kHwc, a.dtype = DType::kUInt8;
  auto r = run_op("Preprocess", make_attrs(a), {p.tensor()});
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_THAT((*r)[0]->as<uint8_t>(), ElementsAre(0, 64, 191, 255));  // 63.75, 191.25
}

TEST(Preprocess, NamesAgreeWithTheRules) {
  for (ResizeMode mode : {ResizeMode::kNone, ResizeMode::kStretch, ResizeMode::kLetterbox, ResizeMode::kShortestSide})
    EXPECT_EQ(enum_names(mode)[static_cast<size_t>(mode)], to_string(mode));
  for (ResizeAlign align : {ResizeAlign::kCenter, ResizeAlign::kTopLeft})
    EXPECT_EQ(enum_names(align)[static_cast<size_t>(align)], to_string(align));
  for (ResizeRounding r : {ResizeRounding::kNearest, ResizeRounding::kDown})
    EXPECT_EQ(enum_names(r)[static_cast<size_t>(r)], to_string(r));
}

// Inference's symbolic sizes against resize_geometry(), for sizes of real pictures: rounding must agree everywhere.
TEST(Preprocess, SymbolicSizesAreTheGeometrys) {
  Graph g;
  SymbolPtr h = g.declare_symbol({"h", 1, 8192, false}), w = g.declare_symbol({"w", 1, 8192, false});
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    PreprocessAttrs a;
    a.resize = random_rule(rng);
    a.resize.min_side *= 20, a.resize.max_side *= 20;
    Value* picture = g.add_input(fmt::format("p{}", seed), DType::kUInt8, {Dim(h), Dim(w), 3});
    Node* node = g.add_node(find_op("Preprocess"), make_attrs(a), {picture});
    ASSERT_TRUE(infer_node(g, *node).ok());
    for (int i = 0; i < 200; ++i) {
      const int64_t height = 1 + rng() % 8192, width = 1 + rng() % 8192;
      const ResizeGeometry want = resize_geometry(a.resize, height, width);
      const auto bind = [&](const Symbol& s) -> std::optional<int64_t> { return s.name == "h" ? height : width; };
      ASSERT_EQ(*evaluate(node->output()->shape[2], bind), want.input_h) << height << " x " << width;
      ASSERT_EQ(*evaluate(node->output()->shape[3], bind), want.input_w) << height << " x " << width;
    }
  }
}

TEST(Preprocess, Refusals) {
  std::mt19937 rng(5);
  Picture p = random_picture(rng, 4, 4);
  const auto message = [&](const PreprocessAttrs& a, TensorPtr picture) {
    auto r = run_op("Preprocess", make_attrs(a), {std::move(picture)});
    return r.ok() ? std::string("ok") : r.status().message();
  };
  PreprocessAttrs a;
  EXPECT_THAT(message(a, Tensor::of<uint8_t>({1, 1, 4}, {1, 2, 3, 4})), HasSubstr("[H,W,3]"));
  EXPECT_THAT(message(a, Tensor::of<float>({1, 1, 3}, {1, 2, 3})), HasSubstr("expected uint8"));
  EXPECT_THAT(message(a, Tensor::of<uint8_t>({0, 1, 3}, {})), HasSubstr("sides of 1 to"));
  a.resize.mode = ResizeMode::kStretch;
  EXPECT_THAT(message(a, p.tensor()), HasSubstr("resize = stretch"));
  a = {}, a.mean = {1, 2};
  EXPECT_THAT(message(a, p.tensor()), HasSubstr("mean: expected 1 or 3 numbers, found 2"));
  a = {}, a.std = {0};
  EXPECT_THAT(message(a, p.tensor()), HasSubstr("std"));
}

}  // namespace
}  // namespace fovea::core::test
