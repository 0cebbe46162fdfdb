// Toy networks that hand their inputs through as boxes: what goes in and what comes back is computed by hand.
#include "picture/detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "builder/card_lowering.h"
#include "ops/axis.h"
#include "ops/cast.h"
#include "ops/op.h"
#include "ops/reshape.h"

namespace fovea::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Detections = std::vector<std::vector<Detection>>;
const double kNan = std::nan(""), kInfinity = std::numeric_limits<double>::infinity();

Image picture(int64_t height, int64_t width, uint8_t gray = 0) {
  return {height, width, std::vector<uint8_t>(static_cast<size_t>(height * width * 3), gray)};
}

// Boxes and scores are inputs of the network, and so are all others that a test asks for.
class Toy {
 public:
  // The picture input has the sides that the rule fixes, or open ones; `batch` 0 leaves it open too.
  Toy(ResizeRule resize, int64_t batch) : batch_(batch ? Dim(batch) : open("n")) {
    PictureCard& p = card.picture;
    p.input = "image", p.resize = resize;
    p.pad_value = {0, 0, 0}, p.mean = {0, 0, 0}, p.std = {1, 1, 1};
    image = graph.add_input(
        "image", DType::kFloat32,
        {batch_, 3, resize.height ? Dim(resize.height) : open("h"), resize.width ? Dim(resize.width) : open("w")});
    card.outputs.boxes = "boxes", card.outputs.scores = "scores";
  }

  Dim open(const std::string& name) { return Dim(graph.declare_symbol({name, 1, 1024, false})); }

  const Dim& batch() const { return batch_; }
  Value* input(const std::string& name, InputRole role, Shape shape, DType type = DType::kFloat32) {
    InputCard& side = card.inputs.emplace_back();
    side.name = name, side.role = role;
    return graph.add_input(name, type, std::move(shape));
  }
  // The same numbers for every picture: a constant of the network, or an input where its batch is open.
  Value* constant(const std::string& name, Shape shape, std::vector<double> values) {
    if (const Dim count = product(shape); count.is_const()) {
      std::vector<float> tiled;
      for (int64_t i = 0; i < count.int_value(); ++i)
        tiled.push_back(static_cast<float>(values[static_cast<size_t>(i) % values.size()]));
      Dims dims;
      for (const Dim& d : shape) dims.push_back(d.int_value());
      return graph.add_constant(Tensor::of<float>(dims, std::span<const float>(tiled)), name);
    }
    Value* v = input(name, InputRole::kConstant, std::move(shape));
    card.inputs.back().value = std::move(values);
    return v;
  }
  Value* reshaped(Value* v, std::vector<int64_t> shape) {
    Value* to = graph.add_constant(Tensor::of<int64_t>({std::ssize(shape)}, std::span<const int64_t>(shape)));
    Node* node = graph.add_node(find_op("Reshape"), make_attrs(ReshapeAttrs{}), {v, to});
    EXPECT_TRUE(infer_node(graph, *node).ok());
    return node->output();
  }
  void output(const std::string& name, Value* v) {
    graph.outputs.push_back(v);
    graph.output_names.push_back(name);
  }
  // The same boxes for every picture, as [batch, N, 4], with falling scores.
  void tables(std::vector<double> boxes) {
    const auto rows = static_cast<int64_t>(boxes.size()) / 4;
    output("boxes", constant("boxes_in", {batch_, rows, 4}, std::move(boxes)));
    scores({batch_, rows}, rows);
  }
  void scores(Shape shape, int64_t rows) {
    std::vector<double> falling;
    for (int64_t i = 0; i < rows; ++i) falling.push_back(1 - 0.125 * static_cast<double>(i));
    output("scores", constant("scores_in", std::move(shape), std::move(falling)));
  }
  // One box a picture: the numbers of an input [batch, .., 4] or [batch, 2, 2].
  void hands_through(Value* v) {
    output("boxes", reshaped(v, {0, -1, 4}));
    scores({batch_, 1}, 1);
  }

  Result<std::unique_ptr<Detector>> detector() {
    FOVEA_TRY_SET(LoweredCard lowered, lower_card(graph, card, nullptr));
    EngineData engine;
    engine.card = to_toml(lowered.card);
    engine.graph = graph.clone();
    engine.preprocess = std::move(lowered.preprocess);
    LoadOptions options;
    options.threads = 1;
    options.log = [this](LogLevel level, std::string_view text) {
      if (level == LogLevel::kWarning && text.find("planning anew") == text.npos) warnings.emplace_back(text);
    };
    FOVEA_TRY_SET(auto loaded, LoadedEngine::from(std::move(engine), options));
    return Detector::make(std::move(loaded));
  }
  Detections detect(const std::vector<Image>& pictures, int64_t at_once = 1) {
    auto made = detector();
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.ok() ? detect(**made, pictures, at_once) : Detections(pictures.size());
  }
  static Detections detect(Detector& detector, const std::vector<Image>& pictures, int64_t at_once) {
    auto found = detector.detect(std::vector<PictureView>(pictures.begin(), pictures.end()), at_once);
    EXPECT_TRUE(found.ok()) << found.status().message();
    return found.ok() ? *std::move(found) : Detections(pictures.size());
  }
  std::string refusal() {
    auto made = detector();
    return made.ok() ? "no complaint" : made.status().message();
  }

  Graph graph;
  ModelCard card;
  Value* image;
  std::vector<std::string> warnings;

 private:
  Dim batch_;
};

constexpr ResizeRule kStretch{.mode = ResizeMode::kStretch, .height = 100, .width = 200};
constexpr ResizeRule kLetterbox{.mode = ResizeMode::kLetterbox, .height = 64, .width = 64};
constexpr ResizeRule kShortestSide{
    .mode = ResizeMode::kShortestSide, .min_side = 80, .max_side = 120, .divisible_by = 32};
constexpr ResizeRule kNone{.mode = ResizeMode::kNone, .divisible_by = 16};

void expect_box(const Detection& d, std::array<float, 4> want) {
  EXPECT_THAT((std::array{d.x0, d.y0, d.x1, d.y1}), ElementsAre(want[0], want[1], want[2], want[3]));
}

// ---- where boxes lie

struct Place {
  ResizeRule rule;
  int64_t height, width;  // of the picture
  bool normalized;
  BoxReference relative_to;
  std::array<double, 4> box;
  std::array<float, 4> want;
};

TEST(DetectorGeometry, BoxesComeBackToThePicture) {
  const auto kInput = BoxReference::kInput, kOriginal = BoxReference::kOriginal;
  const Place places[] = {
      // 50 x 50 becomes 100 x 200: x by 4, y by 2
      {kStretch, 50, 50, false, kInput, {40, 20, 80, 60}, {10, 10, 20, 30}},
      {kStretch, 50, 50, true, kInput, {0.25, 0.5, 0.5, 1}, {12.5f, 25, 25, 50}},
      {kStretch, 50, 50, false, kOriginal, {10, 20, 30, 40}, {10, 20, 30, 40}},
      {kStretch, 50, 50, true, kOriginal, {0.25, 0.5, 0.5, 1}, {12.5f, 25, 25, 50}},
      // 64 x 128 becomes 32 x 64, 16 rows of padding above and below
      {kLetterbox, 64, 128, false, kInput, {8, 24, 16, 32}, {16, 16, 32, 32}},
      {kLetterbox, 64, 128, true, kInput, {0.125, 0.375, 0.5, 0.75}, {16, 16, 64, 64}},
      {kLetterbox, 64, 128, false, kInput, {0, 0, 64, 64}, {0, 0, 128, 64}},  // padding is not the picture
      {kLetterbox, 64, 128, true, kOriginal, {0.125, 0.375, 0.5, 0.75}, {16, 24, 64, 48}},
      // 40 x 50 becomes 80 x 100, padded to 96 x 128 at the bottom and right
      {kShortestSide, 40, 50, false, kInput, {10, 20, 30, 40}, {5, 10, 15, 20}},
      {kShortestSide, 40, 50, true, kInput, {0.25, 0.25, 0.5, 0.75}, {16, 12, 32, 36}},
      {kShortestSide, 40, 50, false, kOriginal, {10, 20, 30, 40}, {10, 20, 30, 40}},
      // 40 x 200: the longer side to 120, 24 x 120, padded to 32 x 128
      {kShortestSide, 40, 200, true, kInput, {0.375, 0.5, 0.75, 0.75}, {80, 80.f / 3, 160, 40}},
      // 20 x 30 padded to 32 x 32
      {kNone, 20, 30, false, kInput, {1, 2, 3, 4}, {1, 2, 3, 4}},
      {kNone, 20, 30, true, kInput, {0.25, 0.25, 0.5, 0.5}, {8, 8, 16, 16}},
      {kNone, 20, 30, true, kOriginal, {0.5, 0.5, 1, 1}, {15, 10, 30, 20}},
  };
  for (const Place& p : places) {
    SCOPED_TRACE(fmt::format("{} {} x {} normalized {} relative_to {}", to_string(p.rule.mode), p.height, p.width,
                             p.normalized, to_string(p.relative_to)));
    Toy toy(p.rule, 0);
    toy.card.outputs.normalized = p.normalized, toy.card.outputs.relative_to = p.relative_to;
    toy.card.outputs.clip_to_picture = true;
    toy.tables({p.box.begin(), p.box.end()});
    const Detections found = toy.detect({picture(p.height, p.width)});
    ASSERT_EQ(found[0].size(), 1u);
    expect_box(found[0][0], p.want);
  }
}

TEST(DetectorGeometry, EveryBoxFormat) {
  const std::pair<BoxFormat, std::vector<double>> formats[] = {{BoxFormat::kXyxy, {40, 20, 80, 60}},
                                                               {BoxFormat::kYxyx, {20, 40, 60, 80}},
                                                               {BoxFormat::kCxcywh, {60, 40, 40, 40}},
                                                               {BoxFormat::kXywh, {40, 20, 40, 40}}};
  for (const auto& [format, box] : formats) {
    Toy toy(kStretch, 0);
    toy.card.outputs.box_format = format;
    toy.tables(box);
    expect_box(toy.detect({picture(50, 50)})[0].at(0), {10, 10, 20, 30});
  }
}

// The numbers that the network was given, as one box in pixels of the picture; large enough that nothing is clipped.
std::array<float, 4> given(InputRole role, SizeOrder order, const ResizeRule& rule, int64_t h, int64_t w) {
  Toy toy(rule, 0);
  toy.card.outputs.relative_to = BoxReference::kOriginal;
  toy.card.outputs.clip_to_picture = true;
  Value* v = toy.input("numbers", role, {toy.batch(), 2, 2});
  toy.card.inputs.back().order = order;
  toy.hands_through(v);
  const Detection d = toy.detect({picture(h, w)})[0].at(0);
  return {d.x0, d.y0, d.x1, d.y1};
}

// A YOLO's one output, from pixels of the letterbox to pixels of the picture.
TEST(DetectorGeometry, BoxesAndScoresInOneOutput) {
  Toy toy(kLetterbox, 2);
  OutputsCard& o = toy.card.outputs;
  o = {.joined = "output0", .joined_layout = JoinedLayout::kBcn};
  o.box_format = BoxFormat::kCxcywh;
  toy.output("output0", toy.constant("in", {2, 6, 2}, {12, 40, 28, 32, 8, 16, 8, 16, .5, 0, .25, .75}));
  toy.card.postprocess.emplace().candidates = Candidates::kArgmax;
  const Detections found = toy.detect({picture(64, 128), picture(32, 64), picture(128, 64)}, 2);
  // 64 x 128 becomes 32 x 64 below 16 rows of padding; 32 x 64 stays; 128 x 64 becomes 64 x 32
  EXPECT_THAT(found[0], ElementsAre(Detection{64, 16, 96, 48, .75f, 1}, Detection{16, 16, 32, 32, .5f, 0}));
  EXPECT_THAT(found[1], ElementsAre(Detection{32, 8, 48, 24, .75f, 1}, Detection{8, 8, 16, 16, .5f, 0}));
  EXPECT_THAT(found[2], ElementsAre(Detection{32, 48, 64, 80, .75f, 1}, Detection{-16, 48, 0, 64, .5f, 0}));
}

// ---- what inputs beside the picture hold

TEST(DetectorRoles, SizesAndScalesInBothOrders) {
  constexpr auto kHw = SizeOrder::kHeightWidth, kWh = SizeOrder::kWidthHeight;
  // clipped to 60 x 120: height 60 at x, width 120 at y becomes 60
  EXPECT_THAT(given(InputRole::kOriginalSize, kHw, kStretch, 60, 120), ElementsAre(60, 60, 60, 60));
  EXPECT_THAT(given(InputRole::kOriginalSize, kWh, kStretch, 60, 120), ElementsAre(120, 60, 120, 60));
  // 128 x 160 becomes 51 x 64 in the letterbox (51.2)
  EXPECT_THAT(given(InputRole::kResizedSize, kHw, kLetterbox, 128, 160), ElementsAre(51, 64, 51, 64));
  EXPECT_THAT(given(InputRole::kResizedSize, kWh, kLetterbox, 128, 160), ElementsAre(64, 51, 64, 51));
  EXPECT_THAT(given(InputRole::kScale, kHw, kLetterbox, 128, 160),
              ElementsAre(51.f / 128, 64.f / 160, 51.f / 128, 64.f / 160));
  // without padding: 200 x 240 becomes 80 x 96, which the input has as 96 x 96
  EXPECT_THAT(given(InputRole::kResizedSize, kHw, kShortestSide, 200, 240), ElementsAre(80, 96, 80, 96));
  EXPECT_THAT(given(InputRole::kScale, kWh, kStretch, 200, 800), ElementsAre(0.25, 0.5, 0.25, 0.5));
}

TEST(DetectorRoles, AScaleOfOneNumberIsThatOfTheHeight) {
  for (const bool axis : {false, true}) {
    Toy toy(kStretch, 0);
    toy.card.outputs.relative_to = BoxReference::kOriginal;
    Value* s = toy.input("s", InputRole::kScale, axis ? Shape{toy.batch(), 1} : Shape{toy.batch()});
    Value* four = toy.graph.add_constant(Tensor::of<float>({1, 4}, {1, 1, 1, 1}));
    Node* node = toy.graph.add_node(find_op("Mul"), nullptr, {toy.reshaped(s, {-1, 1}), four});
    ASSERT_TRUE(infer_node(toy.graph, *node).ok());
    toy.hands_through(node->output());
    const Detections found = toy.detect({picture(200, 800), picture(400, 800)}, 2);
    expect_box(found[0].at(0), {0.5, 0.5, 0.5, 0.5});
    expect_box(found[1].at(0), {0.25, 0.25, 0.25, 0.25});
  }
}

TEST(DetectorRoles, WithoutABatchAxisAScaleStillHasBothNumbers) {
  Toy toy(kStretch, 0);
  toy.card.outputs.relative_to = BoxReference::kOriginal, toy.card.outputs.box_format = BoxFormat::kXywh;
  Value* s = toy.input("s", InputRole::kScale, {2});
  Value* both = toy.graph.add_node(find_op("Concat"), make_attrs(AxisAttrs{}), {s, s})->output();
  ASSERT_TRUE(infer_node(toy.graph, *both->producer).ok());
  toy.output("boxes", toy.reshaped(both, {1, 1, 4}));
  toy.scores({1, 1}, 1);
  // y by 1/2, x by 1/4; then 1/4 by 1/8
  const Detections found = toy.detect({picture(200, 800), picture(400, 1600)}, 2);
  expect_box(found[0].at(0), {0.5, 0.25, 1, 0.5});
  expect_box(found[1].at(0), {0.25, 0.125, 0.5, 0.25});
}

TEST(DetectorRoles, AnOpenLastAxisOfSizesIsTwo) {
  Toy toy(kStretch, 0);
  toy.card.outputs.relative_to = BoxReference::kOriginal;
  Value* v = toy.input("sizes", InputRole::kResizedSize, {toy.batch(), 2, toy.open("k")});
  toy.hands_through(v);
  expect_box(toy.detect({picture(300, 300)})[0].at(0), {100, 200, 100, 200});
}

// The mask comes back as one number a pixel.
std::vector<float> mask(MaskTruth truth, DType type, const std::function<Shape(Toy&)>& shape, int64_t height,
                        int64_t width) {
  const ResizeRule rule{.mode = ResizeMode::kLetterbox, .height = 4, .width = 4};
  Toy toy(rule, 0);
  toy.card.outputs.relative_to = BoxReference::kOriginal;
  Value* v = toy.input("mask", InputRole::kPaddingMask, shape(toy), type);
  toy.card.inputs.back().true_is = truth;
  if (type != DType::kFloat32) {
    CastAttrs a;
    a.to = DType::kFloat32;
    Node* node = toy.graph.add_node(find_op("Cast"), make_attrs(a), {v});
    EXPECT_TRUE(infer_node(toy.graph, *node).ok());
    v = node->output();
  }
  toy.output("boxes", toy.reshaped(v, {-1, 4, 4}));
  toy.scores({toy.batch(), 4}, 4);
  std::vector<float> numbers;
  const Detections found = toy.detect({picture(height, width)});
  for (const Detection& d : found[0])
    for (float x : {d.x0, d.y0, d.x1, d.y1}) numbers.push_back(x);
  return numbers;
}

TEST(DetectorRoles, PaddingMask) {
  const std::function<Shape(Toy&)> shapes[] = {[](Toy& t) {
                                                 return Shape{t.batch(), 4, 4};
                                               },
                                               [](Toy& t) {
                                                 return Shape{t.batch(), 1, 4, 4};
                                               },
                                               [](Toy&) {
                                                 return Shape{4, 4};
                                               },
                                               [](Toy& t) {
                                                 return Shape{t.batch(), t.open("mh"), t.open("mw")};
                                               }};
  for (const auto& shape : shapes) {
    // 4 x 8 becomes 2 x 4 in the middle
    EXPECT_THAT(mask(MaskTruth::kPadding, DType::kBool, shape, 4, 8),
                ElementsAre(1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1));
    EXPECT_THAT(mask(MaskTruth::kPicture, DType::kFloat32, shape, 4, 8),
                ElementsAre(0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0));
    EXPECT_THAT(mask(MaskTruth::kPicture, DType::kInt64, shape, 8, 4),
                ElementsAre(0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0));
  }
}

TEST(DetectorRoles, AMaskHasThePicturesSides) {
  Toy fixed(kLetterbox, 0);
  fixed.input("mask", InputRole::kPaddingMask, {fixed.batch(), 32, 64});
  fixed.tables({0, 0, 1, 1});
  EXPECT_EQ(fixed.refusal(),
            "card: inputs[0].role: tensor 'mask': expected the picture's height and width, 64 x 64, in the last two "
            "axes with role = \"padding_mask\", found float32 [n,32,64]");
  // Open sides of the picture: each run tells.
  Toy open(kNone, 0);
  open.input("mask", InputRole::kPaddingMask, {open.batch(), 32, 48});
  open.tables({0, 0, 1, 1});
  auto detector = open.detector();
  ASSERT_TRUE(detector.ok()) << detector.status().message();
  EXPECT_EQ(Toy::detect(**detector, {picture(30, 40)}, 1)[0].size(), 1u);  // padded to 32 x 48
  const Image other = picture(40, 30);
  const PictureView view(other);
  EXPECT_THAT(
      (*detector)->detect(std::span(&view, 1), 1).status().message(),
      HasSubstr("input 'mask': a padding mask has the sides of the picture input in its last two axes: expected "
                "48 x 32, found [1,32,48]"));
}

TEST(DetectorRoles, SeveralInputsOfSeveralTypes) {
  Toy toy(kStretch, 0);
  toy.card.outputs.relative_to = BoxReference::kOriginal;
  toy.card.outputs.labels = "labels", toy.card.outputs.count = "count";
  toy.input("sizes", InputRole::kOriginalSize, {toy.batch(), 2}, DType::kInt64);
  toy.input("mask", InputRole::kPaddingMask, {toy.batch(), 100, 200}, DType::kBool);
  toy.tables({1, 2, 3, 4, 5, 6, 7, 8});
  toy.output("labels", toy.constant("labels_in", {toy.batch(), 2}, {3, 9}));
  toy.output("count", toy.constant("count_in", {toy.batch()}, {2}));
  toy.card.outputs.label_offset = -1;
  const Detections found = toy.detect({picture(50, 50)});
  ASSERT_EQ(found[0].size(), 2u);
  EXPECT_EQ(found[0][0], (Detection{1, 2, 3, 4, 1, 2}));
  EXPECT_EQ(found[0][1], (Detection{5, 6, 7, 8, 0.875, 8}));
}

// ---- several pictures

// Boxes are the picture's own gray values.
void shows_its_pictures(Toy& toy) {
  toy.card.outputs.relative_to = BoxReference::kOriginal;
  toy.output("boxes", toy.reshaped(toy.image, {0, 3, 4}));
  toy.scores({toy.batch(), 3}, 3);
}
constexpr ResizeRule kTwoByTwo{.mode = ResizeMode::kStretch, .height = 2, .width = 2};

TEST(DetectorBatches, EveryPictureGetsItsOwnDetections) {
  const std::vector<Image> pictures = {picture(100, 100, 10), picture(90, 80, 20), picture(70, 200, 30),
                                       picture(50, 60, 40), picture(64, 64, 50)};
  for (const int64_t fixed : {0, 1, 2, 3})
    for (const int64_t at_once : {1, 2, 3, 5}) {
      SCOPED_TRACE(fmt::format("batch {}, {} at once", fixed, at_once));
      Toy toy(kTwoByTwo, fixed);
      shows_its_pictures(toy);
      const Detections found = toy.detect(pictures, at_once);
      ASSERT_EQ(found.size(), pictures.size());
      for (size_t i = 0; i < found.size(); ++i) {
        ASSERT_EQ(found[i].size(), 3u);
        const auto v = static_cast<float>(10 * (i + 1));
        expect_box(found[i][0], {v, v, v, v});
      }
    }
}

TEST(DetectorBatches, SidesDecideWhatRunsTogether) {
  Toy toy(kNone, 0);
  toy.card.outputs.normalized = true;
  toy.tables({0, 0, 0.5, 0.5});
  const Detections found = toy.detect({picture(16, 32), picture(10, 30), picture(32, 32), picture(16, 16)}, 4);
  expect_box(found[0].at(0), {0, 0, 16, 8});
  expect_box(found[1].at(0), {0, 0, 16, 8});
  expect_box(found[2].at(0), {0, 0, 16, 16});
  expect_box(found[3].at(0), {0, 0, 8, 8});
}

TEST(DetectorBatches, ImageIndex) {
  Toy toy(kStretch, 0);
  toy.card.outputs.relative_to = BoxReference::kOriginal, toy.card.outputs.image_index = "images";
  std::vector<double> boxes;
  for (double i = 0; i < 6; ++i) boxes.insert(boxes.end(), {i, i, i + 1, i + 1});
  toy.output("boxes", toy.constant("boxes_in", {6, 4}, boxes));
  toy.scores({6}, 6);
  toy.output("images", toy.constant("images_in", {6}, {1, 0, -1, 2, 1, 0}));
  const std::vector<Image> pictures(3, picture(50, 50));
  const Detections found = toy.detect(pictures, 3);
  ASSERT_EQ(found[0].size(), 2u);
  ASSERT_EQ(found[1].size(), 2u);
  ASSERT_EQ(found[2].size(), 1u);
  expect_box(found[0][0], {1, 1, 2, 2});
  expect_box(found[0][1], {5, 5, 6, 6});
  expect_box(found[1][0], {0, 0, 1, 1});
  expect_box(found[1][1], {4, 4, 5, 5});
  expect_box(found[2][0], {3, 3, 4, 4});
  EXPECT_THAT(toy.warnings, IsEmpty());
}

// Rows of the pictures that only fill up a fixed batch are nobody's; no warning either.
TEST(DetectorBatches, ImageIndexOfAPartialBatch) {
  Toy toy(kStretch, 4);
  toy.card.outputs.image_index = "images";
  toy.output("boxes", toy.constant("boxes_in", {4, 4}, {0, 0, 4, 2, 0, 0, 8, 4, 0, 0, 12, 6, 0, 0, 16, 8}));
  toy.scores({4}, 4);
  toy.output("images", toy.constant("images_in", {4}, {0, 1, 2, 3}));
  const Detections found = toy.detect({picture(50, 50), picture(50, 50)}, 4);
  ASSERT_EQ(found[0].size(), 1u);
  ASSERT_EQ(found[1].size(), 1u);
  expect_box(found[1][0], {0, 0, 2, 2});
  EXPECT_THAT(toy.warnings, IsEmpty());
}

TEST(DetectorBatches, CountEndsEachTable) {
  Toy toy(kStretch, 3);
  toy.card.outputs.relative_to = BoxReference::kOriginal, toy.card.outputs.count = "count";
  toy.tables({1, 1, 2, 2, kNan, kNan, kNan, kNan});  // what stands behind the last row is nobody's business
  toy.output("count", toy.constant("count_in", {3}, {1, 0, 1}));
  const Detections found = toy.detect({picture(50, 50), picture(50, 50), picture(50, 50)}, 3);
  EXPECT_EQ(found[0].size(), 1u);
  EXPECT_EQ(found[1].size(), 0u);
  EXPECT_EQ(found[2].size(), 1u);
  EXPECT_THAT(toy.warnings, IsEmpty());
}

TEST(DetectorBatches, NothingFound) {
  for (const bool some : {true, false}) {
    Toy toy(kTwoByTwo, 0);
    toy.output("boxes", toy.reshaped(toy.image, {0, 3, 4}));
    toy.output("scores", toy.constant("scores_in", {toy.batch(), 3, 1}, {0.25, 0.5, 0.75}));
    toy.card.postprocess.emplace().score_threshold = some ? 0.4 : 0.9;
    const Detections found = toy.detect({picture(4, 4, 1), picture(4, 4, 1), picture(4, 4, 1)}, 2);
    for (const auto& list : found) EXPECT_EQ(list.size(), some ? 2u : 0u);
  }
  Toy toy(kTwoByTwo, 0);
  EXPECT_THAT((shows_its_pictures(toy), toy.detect({})), IsEmpty());
}

// ---- networks that have room for one picture only

TEST(DetectorBatches, ListsWithoutImageIndexTakeOnePicture) {
  Toy open(kTwoByTwo, 0);
  open.card.outputs.relative_to = BoxReference::kOriginal;
  open.output("boxes", open.reshaped(open.image, {-1, 4}));
  open.scores({Dim(3)}, 3);
  auto detector = open.detector();
  ASSERT_TRUE(detector.ok()) << detector.status().message();
  EXPECT_EQ((*detector)->max_batch(), 1);
  const Detections found = Toy::detect(**detector, {picture(50, 50, 10), picture(50, 50, 20)}, 2);
  ASSERT_EQ(found[0].size(), 3u);
  ASSERT_EQ(found[1].size(), 3u);
  expect_box(found[1][0], {20, 20, 20, 20});

  Toy fixed(kTwoByTwo, 4);
  fixed.output("boxes", fixed.reshaped(fixed.image, {-1, 4}));
  fixed.scores({12}, 12);
  EXPECT_EQ(fixed.refusal(),
            "card: outputs.boxes: tensor 'boxes', float32 [12,4], does not say which picture of a batch a row belongs "
            "to, and outputs.image_index names no output that does; the network takes 4 pictures a run: export it with "
            "a batch of 1");
}

TEST(DetectorBatches, InputsWithoutABatchAxisTakeOnePicture) {
  const std::pair<InputRole, Shape> inputs[] = {
      {InputRole::kOriginalSize, {2}},
      {InputRole::kOriginalSize, {1, 2}},
      {InputRole::kResizedSize, {2}},
      {InputRole::kScale, {2}},
      {InputRole::kScale, {}},
      {InputRole::kScale, {1}},
      {InputRole::kScale, {1, 2}},
      {InputRole::kPaddingMask, {2, 2}},
      {InputRole::kPaddingMask, {1, 2, 2}},
  };
  for (const auto& [role, shape] : inputs) {
    SCOPED_TRACE(fmt::format("{} {}", to_string(role), to_string(shape)));
    for (const int64_t batch : {0, 1}) {
      Toy toy(kTwoByTwo, batch);
      toy.input("side", role, shape);
      shows_its_pictures(toy);
      auto detector = toy.detector();
      ASSERT_TRUE(detector.ok()) << detector.status().message();
      EXPECT_EQ((*detector)->max_batch(), 1);
      expect_box(Toy::detect(**detector, {picture(50, 50, 1), picture(50, 50, 2)}, 2)[1].at(0), {2, 2, 2, 2});
    }
    Toy fixed(kTwoByTwo, 2);
    fixed.input("side", role, shape);
    shows_its_pictures(fixed);
    EXPECT_EQ(
        fixed.refusal(),
        fmt::format("card: inputs: tensor 'side', float32 {}, has no axis for the pictures of a batch with role = "
                    "\"{}\"; the network takes 2 pictures a run: export it with a batch of 1",
                    to_string(shape), to_string(role)));
  }
  Toy toy(kTwoByTwo, 2);
  toy.input("side", InputRole::kOriginalSize, {2, 2});
  toy.input("mask", InputRole::kPaddingMask, {2, 2, 2});
  shows_its_pictures(toy);
  auto detector = toy.detector();
  ASSERT_TRUE(detector.ok()) << detector.status().message();
  EXPECT_EQ((*detector)->max_batch(), 2);
}

TEST(DetectorBatches, EachRowHasItsOwnSizes) {
  Toy toy(kStretch, 0);
  toy.card.outputs.relative_to = BoxReference::kOriginal, toy.card.outputs.box_format = BoxFormat::kYxyx;
  toy.hands_through(toy.input("sizes", InputRole::kOriginalSize, {toy.batch(), 2, 2}));
  const Detections found = toy.detect({picture(10, 20), picture(30, 40), picture(50, 60)}, 2);
  expect_box(found[0].at(0), {20, 10, 20, 10});
  expect_box(found[1].at(0), {40, 30, 40, 30});
  expect_box(found[2].at(0), {60, 50, 60, 50});
}

// ---- numbers that are no detections

TEST(DetectorRows, WhatIsNotFiniteOrOutOfRangeIsDroppedAndSaidOnce) {
  Toy toy(kStretch, 0);
  OutputsCard& o = toy.card.outputs;
  o.relative_to = BoxReference::kOriginal, o.labels = "labels", o.image_index = "images";
  std::vector<double> boxes;
  for (double i = 0; i < 10; ++i) boxes.insert(boxes.end(), {i, i, i + 1, i + 1});
  boxes[4 * 1 + 2] = kNan, boxes[4 * 2 + 1] = kInfinity;
  toy.output("boxes", toy.constant("boxes_in", {10, 4}, boxes));
  toy.output("scores", toy.constant("scores_in", {10}, {.5, .5, .5, kNan, .25, kInfinity, .5, .5, .5, .75}));
  toy.output("labels", toy.constant("labels_in", {10}, {1, 1, 1, 1, 2, 1, kNan, 1e30, 1, 3}));
  toy.output("images", toy.constant("images_in", {10}, {kNan, 0, 0, 0, 0, 0, 0, 0, 1e30, 0}));
  auto detector = toy.detector();
  ASSERT_TRUE(detector.ok()) << detector.status().message();
  for (int run = 0; run < 2; ++run) {
    const Detections found = Toy::detect(**detector, {picture(50, 50)}, 1);
    EXPECT_THAT(found[0], ElementsAre(Detection{9, 9, 10, 10, .75f, 3}, Detection{4, 4, 5, 5, .25f, 2}));
  }
  EXPECT_THAT(toy.warnings, ElementsAre(HasSubstr("output 'boxes' "), HasSubstr("output 'images' "),
                                        HasSubstr("output 'labels' "), HasSubstr("output 'scores' ")));
  EXPECT_EQ(toy.warnings[0],
            "output 'boxes' holds numbers that are not finite or out of range: rows dropped: 2; no more is said about "
            "this output");
}

TEST(DetectorRows, ACountThatIsNoNumberCountsNothing) {
  Toy toy(kStretch, 1);
  toy.card.outputs.count = "count";
  toy.tables({1, 1, 2, 2, 3, 3, 4, 4});
  toy.output("count", toy.constant("count_in", {toy.batch()}, {kNan}));
  EXPECT_THAT(toy.detect({picture(50, 50)})[0], IsEmpty());
  EXPECT_THAT(toy.warnings, ElementsAre(HasSubstr("output 'count' ")));
}

// Tables for another number of pictures than were run.
TEST(DetectorRows, TablesAreThoseOfTheBatch) {
  Toy toy(kTwoByTwo, 0);
  toy.output("boxes", toy.reshaped(toy.image, {-1, 1, 4}));
  toy.scores({Dim(3), 1}, 3);
  auto detector = toy.detector();
  ASSERT_TRUE(detector.ok()) << detector.status().message();
  const Image image = picture(50, 50);
  const PictureView view(image);
  EXPECT_EQ((*detector)->detect(std::span(&view, 1), 1).status().message(),
            "output 'boxes': expected one for each of the run's pictures, 1, found 3");
}

}  // namespace
}  // namespace fovea::core
