// COCO's bounding-box average precision, number for number as pycocotools' COCOeval computes it (its defaults: IoU 0.50
// to 0.95 in steps of 0.05, 101 recall levels, at most 100 detections a picture and class, areas split at 32^2 and
// 96^2).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace fovea::core {

struct CocoBox {
  double x = 0, y = 0, w = 0, h = 0;  // top left corner and size in pixels
};

struct CocoImage {
  int64_t id = 0;
  std::string file_name;  // empty if the file does not say
};

struct CocoCategory {
  int64_t id = 0;
  std::string name;
};

struct CocoObject {
  int64_t id = 0, image_id = 0, category_id = 0;
  CocoBox box;
  double area = 0;     // square pixels; of the mask where there is one
  bool crowd = false;  // a region that swallows any number of detections without counting
};

struct CocoLabels {
  std::vector<CocoImage> images;
  std::vector<CocoCategory> categories;
  std::vector<CocoObject> objects;
};

struct CocoDetection {
  int64_t image_id = 0, category_id = 0;
  CocoBox box;
  double score = 0;
};

// As COCOeval.stats, in its order; each 0..1, or -1 where there is nothing to measure.
struct CocoResult {
  double ap = -1, ap50 = -1, ap75 = -1;                 // mean over classes; at IoU 0.50:0.95, 0.50, 0.75
  double ap_small = -1, ap_medium = -1, ap_large = -1;  // objects below 32^2, up to 96^2, above
  double ar_1 = -1, ar_10 = -1, ar_100 = -1;            // recall with that many detections a picture and class
  double ar_small = -1, ar_medium = -1, ar_large = -1;
};

// Label files in COCO's form. `area` absent is the box's, `iscrowd` absent is 0. Ids must be integers, each its own.
Result<CocoLabels> read_coco_labels(const std::string& path);
Result<CocoLabels> parse_coco_labels(std::string_view json, std::string_view name);

// Result files: a list of image_id, category_id, bbox, score.
Result<std::vector<CocoDetection>> read_coco_detections(const std::string& path);
Result<std::vector<CocoDetection>> parse_coco_detections(std::string_view json, std::string_view name);

// Every picture of the labels counts, those without detections too. A detection of an unknown picture or with a number
// that is not finite is InvalidArgument; one of an unknown class is passed over, as pycocotools does.
Result<CocoResult> evaluate(const CocoLabels& labels, std::span<const CocoDetection> detections);

}  // namespace fovea::core
