#include "picture/card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/file.h"

namespace fovea::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kSmall = R"([picture]
input = "image"
resize = "stretch"
size = [256, 320]

[outputs]
boxes = "boxes"
scores = "scores"
box_format = "xyxy"
normalized = true
)";

constexpr std::string_view kFull = R"([picture]
input = "image"
resize = "letterbox"
size = [640, 640]
align = "top_left"
rounding = "down"
antialias = true
pad_value = [114, 114.5, 0]
color = "bgr"
scale = 0.00392156862745098
mean = [0.1, 0.2, 0.3]
std = [1, 2, 3]
layout = "nhwc"

[[inputs]]
name = "mask"
role = "padding_mask"
true_is = "picture"

[[inputs]]
name = "im_shape"
role = "resized_size"
order = "wh"

[[inputs]]
name = "limit"
role = "constant"
value = 300

[[inputs]]
name = "table"
role = "constant"
value = [1, 2.5, -3e-7]

[outputs]
boxes = "deltas"
scores = "logits"
label_offset = -1

[postprocess]
activation = "softmax"
background = 0
decode = "ssd"
anchors = "anchors.npy"
variances = [0.1, 0.1, 0.2, 0.2]
clip = true
score_threshold = 0.05
score_compare = ">="
iou_threshold = 0.5
iou_compare = ">="
candidates = "top_m"
top_m = 3
top_k = 200
max_per_class = 50
max_detections = 100
class_agnostic = true
iou_offset = 0
soft_nms_sigma = 0.5

[classes]
names = ["cat", "a \"dog\"\\", "tab\there", "größer"]
category_ids = [17, 18, 1, 90]
)";

// kSmall with a line put in place of another.
std::string small_with(std::string_view from, std::string_view to) {
  std::string text(kSmall);
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string complaint(std::string_view text) {
  auto card = parse_card(text, "detector.toml");
  if (card.ok()) return "no complaint";
  EXPECT_EQ(card.status().kind(), ErrorKind::kInvalidArgument);
  return card.status().message();
}

TEST(Card, DefaultsOfASmallOne) {
  auto card = parse_card(kSmall, "detector.toml");
  ASSERT_TRUE(card.ok()) << card.status().message();
  const PictureCard& p = card->picture;
  EXPECT_EQ(p.resize.mode, ResizeMode::kStretch);
  EXPECT_EQ(p.resize.height, 256);
  EXPECT_EQ(p.resize.width, 320);
  EXPECT_FALSE(p.antialias);
  EXPECT_EQ(p.color, ColorOrder::kRgb);
  EXPECT_EQ(p.scale, 1);
  EXPECT_THAT(p.mean, ElementsAre(0, 0, 0));
  EXPECT_THAT(p.std, ElementsAre(1, 1, 1));
  EXPECT_EQ(p.layout, PictureLayout::kNchw);
  EXPECT_THAT(card->inputs, IsEmpty());
  EXPECT_EQ(card->outputs.relative_to, BoxReference::kInput);
  EXPECT_TRUE(card->outputs.normalized);
  EXPECT_FALSE(card->postprocess);
  EXPECT_EQ(class_name(card->classes, 7), "class 7");
  EXPECT_EQ(category_id(card->classes, 7), 8);
}

TEST(Card, EveryKeyIsRead) {
  auto card = parse_card(kFull, "detector.toml");
  ASSERT_TRUE(card.ok()) << card.status().message();
  EXPECT_EQ(card->picture.resize.align, ResizeAlign::kTopLeft);
  EXPECT_EQ(card->picture.resize.rounding, ResizeRounding::kDown);
  EXPECT_THAT(card->picture.pad_value, ElementsAre(114, 114.5, 0));
  ASSERT_EQ(card->inputs.size(), 4u);
  EXPECT_EQ(card->inputs[0].true_is, MaskTruth::kPicture);
  EXPECT_EQ(card->inputs[1].order, SizeOrder::kWidthHeight);
  EXPECT_THAT(card->inputs[2].value, ElementsAre(300));
  EXPECT_THAT(card->inputs[3].value, ElementsAre(1, 2.5, -3e-7));
  EXPECT_TRUE(card->outputs.normalized);
  EXPECT_EQ(card->outputs.label_offset, -1);
  const PostprocessCard& p = *card->postprocess;
  EXPECT_EQ(p.activation, Activation::kSoftmax);
  EXPECT_EQ(p.background, 0);
  EXPECT_EQ(p.decode, BoxDecode::kSsd);
  EXPECT_EQ(p.candidates, Candidates::kTopM);
  EXPECT_EQ(p.top_m, 3);
  EXPECT_EQ(p.score_compare, Comparison::kGreaterEqual);
  EXPECT_EQ(p.soft_nms_sigma, 0.5);
  EXPECT_EQ(class_name(card->classes, 1), "a \"dog\"\\");
  EXPECT_EQ(category_id(card->classes, 3), 90);
}

TEST(Card, PrintsAndParsesBack) {
  const std::string shortest =
      small_with("\"stretch\"\nsize = [256, 320]",
                 "\"shortest_side\"\nmin_side = 800\nmax_side = 1333\ndivisible_by = 32\ncolor = \"gray\"");
  const std::string none = small_with("\"stretch\"\nsize = [256, 320]", "\"none\"");
  for (const std::string& text : {std::string(kSmall), std::string(kFull), shortest, none}) {
    auto card = parse_card(text, "a.toml");
    ASSERT_TRUE(card.ok()) << card.status().message();
    auto again = parse_card(to_toml(*card), "b.toml");
    ASSERT_TRUE(again.ok()) << again.status().message() << to_toml(*card);
    EXPECT_EQ(*again, *card);
    EXPECT_EQ(to_toml(*again), to_toml(*card));
  }
}

TEST(Card, AMisspelledKeyIsNamedWithItsNeighbour) {
  EXPECT_EQ(complaint(small_with("\nsize = ", "\nsise = ")),
            "detector.toml:4: picture.sise: unknown key; did you mean 'size'?");
  EXPECT_EQ(complaint(small_with("[picture]", "[pictures]")),
            "detector.toml:1: pictures: unknown section or key; did you mean 'picture'?");
  EXPECT_EQ(complaint(small_with("resize =", "antialas = true\nresize =")),
            "detector.toml:3: picture.antialas: unknown key; did you mean 'antialias'?");
  EXPECT_THAT(complaint(small_with("resize =", "zebra_crossing = 1\nresize =")),
              HasSubstr("unknown key; expected one of: input, resize"));
}

TEST(Card, WrongValuesNameWhatWasExpected) {
  EXPECT_EQ(
      complaint(small_with("\"stretch\"", "\"strech\"")),
      "detector.toml:3: picture.resize: expected \"none\" or \"stretch\" or \"letterbox\" or \"shortest_side\", found "
      "\"strech\"; did you mean \"stretch\"?");
  EXPECT_EQ(complaint(small_with("[256, 320]", "256")),
            "detector.toml:4: picture.size: expected a list of 2 integers, found 256");
  EXPECT_EQ(complaint(small_with("[256, 320]", "[256, 0]")),
            "detector.toml:4: picture.size: expected a list of 2 integers in 1..16384, found 0");
  EXPECT_EQ(complaint(small_with("normalized = true", "normalized = 1")),
            "detector.toml:10: outputs.normalized: expected true or false, found 1");
  EXPECT_EQ(complaint(small_with("\"image\"", "\"\"")),
            "detector.toml:2: picture.input: expected a string that is not empty, found \"\"");
  EXPECT_THAT(complaint(std::string(kSmall) + "[postprocess]\niou_threshold = 1.5\n"),
              HasSubstr("detector.toml:12: postprocess.iou_threshold: expected a number in 0..1, found 1.5"));
  EXPECT_THAT(complaint(small_with("resize =", "std = [1, 0, 1]\nresize =")),
              HasSubstr("picture.std: expected a list of 3 numbers"));
  EXPECT_THAT(complaint(small_with("resize =", "mean = [1, nan, 1]\nresize =")), HasSubstr("picture.mean"));
}

TEST(Card, MissingKeysAndSections) {
  EXPECT_EQ(complaint(small_with("input = \"image\"\n", "")),
            "detector.toml:1: picture.input: missing; expected the name of the network input that takes the picture");
  EXPECT_THAT(complaint(""), HasSubstr("picture: missing; expected a section [picture]"));
  EXPECT_THAT(complaint(small_with("size = [256, 320]\n", "")), HasSubstr("picture.size: missing"));
}

TEST(Card, KeysWithoutMeaningAreRefused) {
  EXPECT_EQ(complaint(small_with("\nsize =", "\nmin_side = 3\nsize =")),
            "detector.toml:4: picture.min_side: has no meaning with resize = \"stretch\"");
  EXPECT_THAT(complaint(small_with("\nsize =", "\npad_value = [1, 1, 1]\nsize =")),
              HasSubstr("picture.pad_value: has no meaning"));
  EXPECT_THAT(complaint(std::string(kSmall) + "[postprocess]\nvariances = [1, 1, 1, 1]\n"),
              HasSubstr("variances: has no meaning"));
  EXPECT_THAT(complaint(std::string(kSmall) + "[postprocess]\ndecode = \"ssd\"\nanchors = \"a.npy\"\n"),
              HasSubstr("outputs.box_format: has no meaning with postprocess.decode"));
  EXPECT_THAT(complaint(small_with("scores =", "image_index = \"i\"\nscores =") + "[postprocess]\n"),
              HasSubstr("outputs.image_index"));
  EXPECT_THAT(
      complaint(std::string(kSmall) + "[[inputs]]\nname = \"m\"\nrole = \"constant\"\nvalue = 1\norder = \"hw\"\n"),
      HasSubstr("inputs[0].order: has no meaning with role = \"constant\""));
}

TEST(Card, ContradictionsAreRefused) {
  EXPECT_THAT(complaint(std::string(kSmall) + "[[inputs]]\nname = \"image\"\nrole = \"original_size\"\n"),
              HasSubstr("another input's name"));
  EXPECT_THAT(complaint(std::string(kSmall) + "[classes]\nnames = [\"a\"]\ncategory_ids = [1, 2]\n"),
              HasSubstr("expected one for each of 1 names"));
  EXPECT_THAT(complaint(std::string(kSmall) + "[classes]\ncategory_ids = [2, 2]\n"), HasSubstr("a different one"));
  EXPECT_THAT(
      complaint(small_with("\"stretch\"\nsize = [256, 320]", "\"shortest_side\"\nmin_side = 800\nmax_side = 600")),
      HasSubstr("picture.max_side: expected at least min_side"));
}

TEST(Card, AnIouOffsetNeedsPixels) {
  const std::string pixels = small_with("normalized = true", "normalized = false") + "[postprocess]\niou_offset = 1\n";
  auto card = parse_card(pixels, "detector.toml");
  ASSERT_TRUE(card.ok()) << card.status().message();
  EXPECT_EQ(card->postprocess->iou_offset, 1);
  EXPECT_EQ(
      complaint(std::string(kSmall) + "[postprocess]\niou_offset = 1\n"),
      "detector.toml:10: outputs.normalized: expected false with postprocess.iou_offset = 1, which counts pixels, "
      "found true");
  EXPECT_EQ(complaint(small_with("box_format = \"xyxy\"\nnormalized = true\n", "") +
                      "[postprocess]\ndecode = \"ssd\"\nanchors = \"a.npy\"\niou_offset = 1\n"),
            "detector.toml:12: postprocess.iou_offset: expected 0 with decode = \"ssd\", whose boxes are fractions and "
            "not pixels, found 1");
}

// kSmall with one output for boxes and scores, and a section behind it.
std::string joined_with(std::string_view outputs, std::string_view postprocess = "[postprocess]\n") {
  const std::string keys = "joined = \"output0\"\n" + std::string(outputs);
  return small_with("boxes = \"boxes\"\nscores = \"scores\"\n", keys) + std::string(postprocess);
}

TEST(Card, OneOutputForBoxesAndScores) {
  auto card = parse_card(joined_with("joined_layout = \"bcn\"\nobjectness = true\n"), "detector.toml");
  ASSERT_TRUE(card.ok()) << card.status().message();
  EXPECT_EQ(card->outputs.joined, "output0");
  EXPECT_EQ(card->outputs.joined_layout, JoinedLayout::kBcn);
  EXPECT_TRUE(card->outputs.objectness);
  auto again = parse_card(to_toml(*card), "again");
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(*again, *card);

  EXPECT_THAT(complaint(joined_with("")), HasSubstr("outputs.joined_layout: missing; expected \"bnc\" or \"bcn\""));
  EXPECT_THAT(complaint(joined_with("joined_layout = \"bcn\"\n", "")),
              HasSubstr("detector.toml:7: outputs.joined: expected a [postprocess] section"));
  EXPECT_THAT(complaint(joined_with("joined_layout = \"bcn\"\nscores = \"s\"\n")),
              HasSubstr("outputs.scores: has no meaning beside joined"));
  EXPECT_THAT(complaint(small_with("scores =", "objectness = true\nscores =")),
              HasSubstr("outputs.objectness: has no meaning without joined"));
  EXPECT_THAT(complaint(joined_with("joined_layout = \"bnc\"\nobjectness = true\n",
                                    "[postprocess]\nactivation = \"softmax\"\n")),
              HasSubstr("outputs.objectness: expected false with postprocess.activation = \"softmax\", found true"));
}

TEST(Card, WhatIsNoTomlNamesItsLine) {
  EXPECT_THAT(complaint("[picture]\ninput = \n"), HasSubstr("detector.toml:2:"));
  EXPECT_THAT(complaint("picture = 3\n[outputs]\n"),
              HasSubstr("detector.toml:1: picture: expected a section [picture], found 3"));
  EXPECT_THAT(complaint(std::string(kSmall) + "inputs = 3\n"), HasSubstr("inputs"));
  EXPECT_THAT(complaint("[picture]\n[picture]\n"), HasSubstr("detector.toml:2:"));
  EXPECT_EQ(complaint(std::string(kSmall) + "[=\n[classes]\n"),
            "detector.toml:11: expected TOML: malformed key or value");
}

TEST(Card, NamesAndAnchorsLieBesideTheCard) {
  const std::string folder = testing::TempDir(), path = folder + "/card_test.toml";
  std::string text = small_with("box_format = \"xyxy\"\nnormalized = true\n", "");
  text += "[postprocess]\ndecode = \"ssd\"\nanchors = \"card_test.npy\"\n[classes]\nnames_file = \"card_test.txt\"\n";
  ASSERT_TRUE(write_file(path, text).ok());
  ASSERT_TRUE(write_file(folder + "/card_test.txt", "cat\r\ndog\n").ok());
  std::vector<double> anchors = {0.5, 0.5, 1, 1, 0.25, 0.25, 0.5, 0.5};
  std::vector<int64_t> shape = {2, 4};
  ASSERT_TRUE(write_npy(folder + "/card_test.npy", DType::kFloat64, shape, std::as_bytes(std::span(anchors))).ok());
  auto card = read_card(path);
  ASSERT_TRUE(card.ok()) << card.status().message();
  EXPECT_THAT(card->classes.names, ElementsAre("cat", "dog"));
  auto array = read_anchors(*card, path);
  ASSERT_TRUE(array.ok()) << array.status().message();
  EXPECT_EQ(array->dtype, DType::kFloat32);
  float third;
  std::memcpy(&third, &array->data[16], sizeof third);
  EXPECT_EQ(third, 0.25f);
  shape = {4, 2};
  ASSERT_TRUE(write_npy(folder + "/card_test.npy", DType::kFloat64, shape, std::as_bytes(std::span(anchors))).ok());
  EXPECT_THAT(read_anchors(*card, path).status().message(),
              HasSubstr("expected anchors of shape (N, 4), found (4, 2)"));
}

TEST(Card, ANamesFileIsUtf8) {
  const std::string folder = testing::TempDir(), path = folder + "/card_utf8_test.toml";
  ASSERT_TRUE(write_file(path, std::string(kSmall) + "[classes]\nnames_file = \"card_utf8_test.txt\"\n").ok());
  const std::string names = folder + "/card_utf8_test.txt";
  ASSERT_TRUE(write_file(names,
                         "\xef\xbb\xbf"
                         "cat\n\ngr\u00f6\u00dfer \"\\\x01\n")
                  .ok());
  auto card = read_card(path);
  ASSERT_TRUE(card.ok()) << card.status().message();
  EXPECT_THAT(card->classes.names, ElementsAre("cat", "", "gr\u00f6\u00dfer \"\\\x01"));
  auto again = parse_card(to_toml(*card), "the engine's card");
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(*again, *card);
  ASSERT_TRUE(write_file(names,
                         "cat\ngr\xf6\xdf"
                         "er\n")
                  .ok());
  EXPECT_THAT(
      read_card(path).status().message(),
      HasSubstr(
          "card_utf8_test.txt:2: expected a class name in UTF-8, found bytes that are not: save the file as UTF-8"));
}

// Text of the document that explains cards, and the TOML blocks in it.
std::string document() {
  auto text = read_file(FOVEA_SOURCE_DIR "/docs/model-card.md");
  EXPECT_TRUE(text.ok());
  return text.ok() ? *text : "";
}

std::vector<std::string> documented_cards() {
  constexpr std::string_view kBegin = "```toml\n", kEnd = "```\n";
  std::vector<std::string> cards;
  const std::string text = document();
  for (size_t at = text.find(kBegin); at != std::string::npos; at = text.find(kBegin, at)) {
    at += kBegin.size();
    cards.push_back(text.substr(at, text.find(kEnd, at) - at));
  }
  return cards;
}

TEST(CardDocument, ItsExamplesAreCards) {
  const auto cards = documented_cards();
  EXPECT_EQ(cards.size(), 8u);
  for (const std::string& text : cards) {
    auto card = parse_card(text, "docs/model-card.md");
    EXPECT_TRUE(card.ok()) << card.status().message() << "\n" << text;
  }
}

TEST(CardDocument, NamesEveryKey) {
  const std::string text = document();
  auto card = parse_card(kFull, "full"), joined = parse_card(joined_with("joined_layout = \"bcn\"\n"), "joined");
  ASSERT_TRUE(card.ok() && joined.ok());
  const std::string printed = to_toml(*card) + to_toml(*joined);
  for (size_t at = 0; at < printed.size(); at = printed.find('\n', at) + 1) {
    const std::string line = printed.substr(at, printed.find('\n', at) - at);
    const size_t equals = line.find(" = ");
    if (equals == std::string::npos) continue;
    EXPECT_THAT(text, HasSubstr("`" + line.substr(0, equals) + "`"));
  }
}

TEST(Card, FlippedBytesNeverCrash) {
  const uint32_t seed = 4;
  std::mt19937 random(seed);
  for (int round = 0; round < 3000; ++round) {
    std::string text(kFull);
    for (size_t flips = 1 + random() % 5; flips > 0; --flips) {
      char c = round % 2 ? static_cast<char>(random()) : text[random() % text.size()];
      text[random() % text.size()] = c;
    }
    if (round % 7 == 0) text.resize(random() % text.size());
    auto card = parse_card(text, "fuzz");
    if (!card.ok()) {
      EXPECT_EQ(card.status().kind(), ErrorKind::kInvalidArgument) << "seed " << seed << " round " << round;
      continue;
    }
    auto again = parse_card(to_toml(*card), "again");
    ASSERT_TRUE(again.ok()) << again.status().message() << "\nseed " << seed << " round " << round;
    EXPECT_EQ(*again, *card) << "seed " << seed << " round " << round;
  }
}

}  // namespace
}  // namespace fovea::core
