#include "eval/results.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <cmath>

namespace fovea::core {
namespace {

TEST(ImageId, IsTheLastNumberOfTheName) {
  EXPECT_EQ(image_id_of("000042.jpg", 7), 42);
  EXPECT_EQ(image_id_of("/data/2017/COCO_val2014_000000000123.png", 7), 123);
  EXPECT_EQ(image_id_of("a12b.jp2", 7), 12);
  EXPECT_EQ(image_id_of("cat.jp2", 7), 7);
  EXPECT_EQ(image_id_of("folder3/cat.jpg", 7), 7);
  EXPECT_EQ(image_id_of("1234567890123456789.jpg", 7), 7);
  EXPECT_EQ(image_id_of("", 7), 7);
  EXPECT_EQ(image_id_of(".5", 7), 5);
}

TEST(ImageId, IsTheLabelsOwn) {
  const std::map<std::string, int64_t, std::less<>> names{{"7.jpg", 70}, {"val/7.jpg", 71}, {"train/8.jpg", 80}};
  EXPECT_EQ(labelled_id(names, "7.jpg"), 70);
  EXPECT_EQ(labelled_id(names, "data/7.jpg"), 70);
  EXPECT_EQ(labelled_id(names, "data/val/7.jpg"), 71);
  EXPECT_EQ(labelled_id(names, "8.jpg"), std::nullopt);
  EXPECT_EQ(labelled_id(names, "17.jpg"), std::nullopt);
  EXPECT_EQ(labelled_id(names, ""), std::nullopt);
}

std::vector<PictureDetections> two_pictures() {
  return {{"7.jpg", 7, {{10, 20, 30.5f, 60, 0.1f, 0}, {0, 0, 1, 1, 1, 9}}},
          {"with \"quote\xff.jpg", 1, {{1, 2, 3, 4, NAN, 1}}}};
}

TEST(Results, AreCocosJson) {
  ClassesCard classes;
  classes.category_ids = {17, 18};
  std::string text = detections_to_json(two_pictures(), classes);
  auto json = nlohmann::json::parse(text);
  ASSERT_EQ(json.size(), 3u);
  EXPECT_EQ(json[0].dump(),
            R"({"bbox":[10,20,20.5,40],"category_id":17,"file_name":"7.jpg","image_id":7,"score":0.1})");
  EXPECT_EQ(json[1]["category_id"], 10);
  EXPECT_TRUE(json[2]["score"].is_null());
  EXPECT_EQ(nlohmann::json::parse(detections_to_json({}, {})).size(), 0u);
}

TEST(Results, ReadBackAsTheSameDetections) {
  auto pictures = two_pictures();
  pictures.pop_back();
  auto back = parse_coco_detections(detections_to_json(pictures, {}), "own");
  ASSERT_TRUE(back.ok()) << back.status().message();
  auto direct = to_coco(pictures, {});
  ASSERT_EQ(back->size(), direct.size());
  for (size_t i = 0; i < direct.size(); ++i) {
    EXPECT_EQ((*back)[i].category_id, direct[i].category_id);
    EXPECT_EQ((*back)[i].box.w, direct[i].box.w);
    EXPECT_EQ(static_cast<float>((*back)[i].score), static_cast<float>(direct[i].score));
  }
}

}  // namespace
}  // namespace fovea::core
