// What `fovea run` found, in the form that COCO's tools read.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/coco.h"
#include "picture/boxes.h"
#include "picture/card.h"

namespace fovea::core {

struct PictureDetections {
  std::string file_name;  // without folders, as COCO's label files have it
  int64_t image_id = 0;
  std::vector<Detection> detections;
};

// The last run of digits in the file's name, folders and suffix left out ("val/COCO_000042.jpg" is 42); `position`
// where it has none or one beyond 18 digits.
int64_t image_id_of(std::string_view path, int64_t position);

// The id in `by_name`, whose names may hold folders, of the longest name that the path ends with.
std::optional<int64_t> labelled_id(const std::map<std::string, int64_t, std::less<>>& by_name, std::string_view path);

std::vector<CocoDetection> to_coco(std::span<const PictureDetections> pictures, const ClassesCard& classes);

// A JSON list, one line a detection: image_id, category_id, bbox [x, y, width, height] in pixels, score, file_name.
// Numbers have the fewest digits that read back as the same float32; one that is not finite becomes null.
std::string detections_to_json(std::span<const PictureDetections> pictures, const ClassesCard& classes);

}  // namespace fovea::core
