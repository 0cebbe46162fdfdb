#include "base/resize_rule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace fovea::core {
namespace {

ResizeRule letterbox(int64_t h, int64_t w) { return {.mode = ResizeMode::kLetterbox, .height = h, .width = w}; }

ResizeRule shortest(int64_t min_side, int64_t max_side, int64_t divisible_by = 1) {
  return {.mode = ResizeMode::kShortestSide,
          .min_side = min_side,
          .max_side = max_side,
          .divisible_by = divisible_by,
          .rounding = ResizeRounding::kDown};
}

TEST(ResizeRule, NoneKeepsThePictureAndPads) {
  ResizeGeometry g = resize_geometry({.mode = ResizeMode::kNone, .divisible_by = 32}, 100, 64);
  EXPECT_EQ(g.resized_h, 100);
  EXPECT_EQ(g.input_h, 128);
  EXPECT_EQ(g.input_w, 64);
  EXPECT_EQ(g.scale_x, 1.0);
  EXPECT_EQ(g.pad_y, 0);
}

TEST(ResizeRule, StretchHasAScaleForEachAxis) {
  ResizeGeometry g = resize_geometry({.mode = ResizeMode::kStretch, .height = 300, .width = 320}, 150, 640);
  EXPECT_EQ(g.scale_y, 2.0);
  EXPECT_EQ(g.scale_x, 0.5);
  EXPECT_EQ(g.input_h, 300);
  EXPECT_EQ(g.input_w, 320);
}

TEST(ResizeRule, LetterboxPadsBothSidesTheOddPixelBelow) {
  ResizeGeometry g = resize_geometry(letterbox(640, 640), 481, 640);
  EXPECT_EQ(g.resized_h, 481);
  EXPECT_EQ(g.pad_y, 79);  // 159 rows: 79 above, 80 below
  EXPECT_EQ(g.pad_x, 0);
  ResizeRule corner = letterbox(640, 640);
  corner.align = ResizeAlign::kTopLeft;
  EXPECT_EQ(resize_geometry(corner, 480, 640).pad_y, 0);
}

TEST(ResizeRule, LetterboxRoundsHalvesToEven) {
  // Ratio 1/2: 201 -> 100.5 -> 100, 203 -> 101.5 -> 102.
  EXPECT_EQ(resize_geometry(letterbox(320, 320), 201, 640).resized_h, 100);
  EXPECT_EQ(resize_geometry(letterbox(320, 320), 203, 640).resized_h, 102);
  ResizeRule down = letterbox(320, 320);
  down.rounding = ResizeRounding::kDown;
  EXPECT_EQ(resize_geometry(down, 203, 640).resized_h, 101);
}

TEST(ResizeRule, ShortestSideAsDetr) {
  ResizeGeometry g = resize_geometry(shortest(800, 1333), 480, 640);
  EXPECT_EQ(g.resized_h, 800);
  EXPECT_EQ(g.resized_w, 1066);
  g = resize_geometry(shortest(800, 1333, 32), 300, 1000);  // the longer side decides
  EXPECT_EQ(g.resized_w, 1333);
  EXPECT_EQ(g.resized_h, 399);
  EXPECT_EQ(g.input_w, 1344);
  EXPECT_EQ(g.input_h, 416);
}

TEST(ResizeRule, NoSideIsEverZeroAndNothingExceedsItsFrame) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> exponent(0, 28);
  for (int i = 0; i < 2000; ++i) {
    auto h = static_cast<int64_t>(std::exp2(exponent(random))), w = static_cast<int64_t>(std::exp2(exponent(random)));
    ResizeGeometry g = resize_geometry(letterbox(640, 480), h, w);
    EXPECT_TRUE(g.resized_h >= 1 && g.resized_h <= 640 && g.resized_w >= 1 && g.resized_w <= 480) << h << "x" << w;
    g = resize_geometry(shortest(800, 1333), h, w);
    EXPECT_TRUE(std::max(g.resized_h, g.resized_w) <= 1333 && std::min(g.resized_h, g.resized_w) >= 1) << h << "x" << w;
  }
}

TEST(ResizeRule, NamesRoundTrip) {
  for (auto mode : {ResizeMode::kNone, ResizeMode::kStretch, ResizeMode::kLetterbox, ResizeMode::kShortestSide})
    EXPECT_EQ(resize_mode_from_string(to_string(mode)), mode);
  EXPECT_EQ(resize_align_from_string("top_left"), ResizeAlign::kTopLeft);
  EXPECT_EQ(resize_rounding_from_string("down"), ResizeRounding::kDown);
  EXPECT_FALSE(resize_mode_from_string("Stretch"));
}

}  // namespace
}  // namespace fovea::core
