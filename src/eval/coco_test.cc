#include "eval/coco.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <filesystem>
#include <limits>
#include <random>

#include "base/file.h"

namespace fovea::core {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::vector<double> stats_of(const CocoResult& r) {
  return {r.ap,   r.ap50,  r.ap75,   r.ap_small, r.ap_medium, r.ap_large,
          r.ar_1, r.ar_10, r.ar_100, r.ar_small, r.ar_medium, r.ar_large};
}

CocoLabels one_object() { return {{{1, "1.jpg"}}, {{5, "cat"}}, {{1, 1, 5, {10, 10, 40, 40}, 1600, false}}}; }

// The files are pycocotools' own answers (tests/eval/make_golden.py).
TEST(Coco, AgreesWithPycocotools) {
  int cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(FOVEA_SOURCE_DIR "/tests/eval/golden")) {
    auto text = read_file(entry.path().string());
    ASSERT_TRUE(text.ok());
    json golden = json::parse(*text);
    auto labels = parse_coco_labels(golden["labels"].dump(), "labels");
    ASSERT_TRUE(labels.ok()) << labels.status().message();
    auto detections = parse_coco_detections(golden["detections"].dump(), "detections");
    ASSERT_TRUE(detections.ok()) << detections.status().message();
    auto result = evaluate(*labels, *detections);
    ASSERT_TRUE(result.ok()) << result.status().message();
    auto stats = stats_of(*result);
    for (size_t i = 0; i < stats.size(); ++i)
      EXPECT_NEAR(stats[i], golden["stats"][i].get<double>(), 1e-12) << entry.path() << " stats[" << i << "]";
    ++cases;
  }
  EXPECT_EQ(cases, 7);
}

TEST(Coco, APerfectDetectorHasAllOfIt) {
  CocoDetection d{1, 5, {10, 10, 40, 40}, 0.9};
  auto r = evaluate(one_object(), {&d, 1});
  ASSERT_TRUE(r.ok());
  EXPECT_NEAR(r->ap, 1, 1e-12);
  EXPECT_NEAR(r->ap_medium, 1, 1e-12);
  EXPECT_EQ(r->ap_small, -1);
  EXPECT_EQ(r->ar_1, 1);
}

TEST(Coco, NothingFoundIsZeroAndNothingToFindIsMinusOne) {
  EXPECT_EQ(evaluate(one_object(), {})->ap, 0);
  EXPECT_EQ(evaluate({}, {})->ap, -1);
}

TEST(Coco, DetectionsThatBelongNowhere) {
  CocoDetection unknown_picture{7, 5, {0, 0, 1, 1}, 1}, unknown_class{1, 6, {0, 0, 1, 1}, 1};
  EXPECT_THAT(evaluate(one_object(), {&unknown_picture, 1}).status().message(), HasSubstr("image_id 7"));
  EXPECT_EQ(evaluate(one_object(), {&unknown_class, 1})->ap, 0);
  CocoDetection nan{1, 5, {0, 0, 1, 1}, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_THAT(evaluate(one_object(), {&nan, 1}).status().message(), HasSubstr("finite"));
}

std::string complaint(std::string_view text) {
  auto labels = parse_coco_labels(text, "l.json");
  if (labels.ok()) return "no complaint";
  EXPECT_EQ(labels.status().kind(), ErrorKind::kInvalidArgument);
  return labels.status().message();
}

TEST(CocoJson, OptionalMembers) {
  auto labels = parse_coco_labels(
      R"({"info": 3, "images": [{"id": 4}], "categories": [{"id": 2, "name": "cat"}],
          "annotations": [{"id": 1, "image_id": 4, "category_id": 2, "bbox": [1, 2, 3, 4.5]}]})",
      "l.json");
  ASSERT_TRUE(labels.ok()) << labels.status().message();
  EXPECT_EQ(labels->objects[0].area, 13.5);
  EXPECT_FALSE(labels->objects[0].crowd);
  EXPECT_EQ(labels->categories[0].name, "cat");
}

TEST(CocoJson, MistakesNameFileAndMember) {
  EXPECT_THAT(complaint(""), HasSubstr("l.json: expected JSON, found an empty file"));
  EXPECT_THAT(complaint("{\"images\": ["), HasSubstr("l.json: expected JSON"));
  EXPECT_THAT(complaint("[]"), HasSubstr("labels in COCO's form"));
  EXPECT_THAT(complaint("{}"), HasSubstr("expected a list \"images\""));
  EXPECT_THAT(complaint(R"({"images": [{"id": "4"}]})"), HasSubstr("images[0].id: expected an integer, found string"));
  EXPECT_THAT(complaint(R"({"images": [3]})"), HasSubstr("images[0].id: expected an integer, found nothing"));
  EXPECT_THAT(complaint(R"({"images": [{"id": 1}, {"id": 1}]})"), HasSubstr("images: the id 1 stands there twice"));
  EXPECT_THAT(
      complaint(
          R"({"images": [], "categories": [], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2]}]})"),
      HasSubstr("annotations[0].bbox: expected a list of four numbers"));
  EXPECT_FALSE(parse_coco_detections("{}", "d.json").ok());
  EXPECT_FALSE(parse_coco_detections("[{}]", "d.json").ok());
  EXPECT_FALSE(parse_coco_detections(std::string(100'000, '['), "d.json").ok());
  EXPECT_FALSE(read_coco_labels("/is/not/there.json").ok());
}

TEST(CocoJson, FlippedBytesNeverCrash) {
  const uint32_t seed = 11;
  std::mt19937 random(seed);
  const std::string whole =
      R"({"images": [{"id": 4, "file_name": "4.jpg"}], "categories": [{"id": 2, "name": "cat"}], "annotations": [)"
      R"({"id": 1, "image_id": 4, "category_id": 2, "bbox": [1, 2, 3, 4.5], "area": 1e3, "iscrowd": 0}]})";
  for (int round = 0; round < 5000; ++round) {
    std::string text = whole;
    for (size_t flips = 1 + random() % 3; flips > 0; --flips)
      text[random() % text.size()] = round % 2 ? static_cast<char>(random()) : text[random() % text.size()];
    auto labels = parse_coco_labels(text, "fuzz");
    if (labels.ok()) continue;
    EXPECT_EQ(labels.status().kind(), ErrorKind::kInvalidArgument) << "seed " << seed << " round " << round;
  }
}

}  // namespace
}  // namespace fovea::core
