#include "picture/boxes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace fovea::core {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using Box = std::array<float, 4>;

ResizeGeometry stretched() {
  return resize_geometry({.mode = ResizeMode::kStretch, .height = 300, .width = 300}, 600, 1200);
}
ResizeGeometry letterboxed() {
  return resize_geometry({.mode = ResizeMode::kLetterbox, .height = 640, .width = 640}, 480, 1280);
}

TEST(Boxes, NormalisedBoxesOfAStretchedPicture) {
  OutputsCard o{.normalized = true};
  EXPECT_EQ(box_to_picture({0.25f, 0.5f, 0.75f, 1.0f}, o, stretched()), (Box{300, 300, 900, 600}));
}

TEST(Boxes, PixelsOfTheInput) {
  OutputsCard o;
  EXPECT_EQ(box_to_picture({75, 150, 225, 300}, o, stretched()), (Box{300, 300, 900, 600}));
}

TEST(Boxes, EveryFormatMeansTheSameBox) {
  ResizeGeometry g = stretched();
  Box expected = {40, 20, 80, 60};
  EXPECT_EQ(box_to_picture({10, 10, 20, 30}, {.box_format = BoxFormat::kXyxy}, g), expected);
  EXPECT_EQ(box_to_picture({10, 10, 30, 20}, {.box_format = BoxFormat::kYxyx}, g), expected);
  EXPECT_EQ(box_to_picture({15, 20, 10, 20}, {.box_format = BoxFormat::kCxcywh}, g), expected);
  EXPECT_EQ(box_to_picture({10, 10, 10, 20}, {.box_format = BoxFormat::kXywh}, g), expected);
}

TEST(Boxes, LetterboxLosesItsPadding) {
  // 1280x480 -> 640x240, 200 rows above.
  EXPECT_EQ(box_to_picture({0, 200, 640, 440}, {}, letterboxed()), (Box{0, 0, 1280, 480}));
  EXPECT_EQ(box_to_picture({0.5f, 0.5f, 0.75f, 0.625f}, {.normalized = true}, letterboxed()),
            (Box{640, 240, 960, 400}));
}

TEST(Boxes, RelativeToTheOriginalIgnoresTheResize) {
  OutputsCard o{.normalized = true, .relative_to = BoxReference::kOriginal};
  EXPECT_EQ(box_to_picture({0.5f, 0.5f, 1, 1}, o, letterboxed()), (Box{640, 240, 1280, 480}));
  o.normalized = false;
  EXPECT_EQ(box_to_picture({1, 2, 3, 4}, o, letterboxed()), (Box{1, 2, 3, 4}));
}

TEST(Boxes, AreClippedToThePictureOnRequest) {
  EXPECT_EQ(box_to_picture({-5, 100, 700, 900}, {}, letterboxed()), (Box{-10, -200, 1400, 1400}));
  const OutputsCard clip{.clip_to_picture = true};
  EXPECT_EQ(box_to_picture({-5, 100, 700, 900}, clip, letterboxed()), (Box{0, 0, 1280, 480}));
  Box nan = box_to_picture({NAN, 0, 1, 1}, clip, letterboxed());
  EXPECT_TRUE(std::isnan(nan[0]));
}

TEST(Boxes, ThereAndBackAgain) {
  ResizeRule rule{.mode = ResizeMode::kShortestSide, .min_side = 800, .max_side = 1333, .divisible_by = 32};
  ResizeGeometry g = resize_geometry(rule, 427, 640);
  auto to_x = [&](double x) {
    return static_cast<float>((x * g.scale_x + static_cast<double>(g.pad_x)) / static_cast<double>(g.input_w));
  };
  auto to_y = [&](double y) {
    return static_cast<float>((y * g.scale_y + static_cast<double>(g.pad_y)) / static_cast<double>(g.input_h));
  };
  Box back = box_to_picture({to_x(12), to_y(34), to_x(500), to_y(400)}, {.normalized = true}, g);
  EXPECT_THAT(back,
              ElementsAre(FloatNear(12, 1e-3f), FloatNear(34, 1e-3f), FloatNear(500, 1e-3f), FloatNear(400, 1e-3f)));
}

}  // namespace
}  // namespace fovea::core
