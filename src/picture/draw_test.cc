#include "picture/draw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>

#ifdef __SANITIZE_ADDRESS__
// fontconfig keeps its patterns by offsets, which the leak checker cannot follow.
extern "C" __attribute__((visibility("default"))) const char* __lsan_default_suppressions() {
  return "leak:libfontconfig\n";
}
#endif

namespace fovea::core {
namespace {

Image gray(int64_t h, int64_t w) { return {h, w, std::vector<uint8_t>(static_cast<size_t>(h * w * 3), 128)}; }

Rgb pixel(const Image& image, int64_t y, int64_t x) {
  const uint8_t* p = &image.rgb[static_cast<size_t>((y * image.width + x) * 3)];
  return {p[0], p[1], p[2]};
}

TEST(Draw, NothingToDrawLeavesThePictureAlone) {
  Image image = gray(50, 60), before = image;
  ASSERT_TRUE(draw_detections(image, {}, {}).ok());
  EXPECT_EQ(image.rgb, before.rgb);
}

TEST(Draw, TheLineLiesOnTheBoxInTheClassColour) {
  Image image = gray(300, 300);
  Detection d{.x0 = 100, .y0 = 100, .x1 = 200, .y1 = 250, .score = 0.5f, .label = 3};
  ASSERT_TRUE(draw_detections(image, {&d, 1}, {}).ok());
  EXPECT_EQ(pixel(image, 180, 100), class_color(3));
  EXPECT_EQ(pixel(image, 180, 199), class_color(3));
  EXPECT_EQ(pixel(image, 250, 150), class_color(3));
  EXPECT_EQ(pixel(image, 180, 150), (Rgb{128, 128, 128}));
  EXPECT_EQ(pixel(image, 280, 280), (Rgb{128, 128, 128}));
}

TEST(Draw, BoxesAtAndBeyondTheEdgesAreSafe) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<Detection> all = {
      {0, 0, 300, 200, 0.9f, 0}, {-50, -50, 900, 900, 0.8f, 1}, {299, 199, 300, 200, 0.7f, 2},
      {5, 5, 5, 5, 0.6f, 3},     {NAN, 0, 1, 1, 0.5f, 4},       {-inf, 0, inf, 10, 0.5f, 5},
      {10, 10, 20, 20, NAN, 6},  {20, 20, 10, 10, 0.1f, -7},    {0, 0, 10, 10, 1, 1'000'000'000'000}};
  ClassesCard classes;
  classes.names = {"", "a very long name that does not fit into the picture at all, never ever", "\xff\xfe no text",
                   "größer"};
  for (auto [h, w] : {std::pair<int64_t, int64_t>(200, 300), {1, 1}, {3, 500}}) {
    Image image = gray(h, w);
    EXPECT_TRUE(draw_detections(image, all, classes).ok()) << h << "x" << w;
  }
}

TEST(Draw, CornersAreDrawnWhereTheBoxFillsThePicture) {
  Image image = gray(100, 100);
  Detection d{.x0 = 0, .y0 = 0, .x1 = 100, .y1 = 100, .score = 0.5f, .label = 0};
  ASSERT_TRUE(draw_detections(image, {&d, 1}, {}).ok());
  EXPECT_EQ(pixel(image, 99, 50), class_color(0));
  EXPECT_EQ(pixel(image, 50, 0), class_color(0));
  EXPECT_EQ(pixel(image, 50, 99), class_color(0));
}

TEST(Draw, HugePicturesAreRefused) {
  Image image = gray(1, 40000);
  EXPECT_EQ(draw_detections(image, {}, {}).kind(), ErrorKind::kUnsupported);
}

TEST(ClassColor, NeighboursDiffer) {
  std::set<Rgb> seen;
  for (int64_t i = 0; i < 100; ++i) {
    Rgb a = class_color(i), b = class_color(i + 1);
    int distance = std::abs(a[0] - b[0]) + std::abs(a[1] - b[1]) + std::abs(a[2] - b[2]);
    EXPECT_GT(distance, 100) << i;
    seen.insert(a);
  }
  EXPECT_EQ(seen.size(), 100u);
  class_color(std::numeric_limits<int64_t>::min());
}

}  // namespace
}  // namespace fovea::core
