#include "eval/results.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>

namespace fovea::core {
namespace {

constexpr size_t kMaxDigits = 18;  // fit into int64

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Quoted; bytes that are no UTF-8 become U+FFFD.
std::string quoted(const std::string& s) {
  return nlohmann::json(s).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string number(float value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

}  // namespace

int64_t image_id_of(std::string_view path, int64_t position) {
  std::string_view stem = path.substr(path.rfind('/') + 1);
  if (size_t dot = stem.rfind('.'); dot != std::string_view::npos && dot > 0) stem = stem.substr(0, dot);
  size_t end = stem.size();
  while (end > 0 && !is_digit(stem[end - 1])) --end;
  size_t begin = end;
  while (begin > 0 && is_digit(stem[begin - 1])) --begin;
  if (begin == end || end - begin > kMaxDigits) return position;
  int64_t id = 0;
  std::from_chars(stem.data() + begin, stem.data() + end, id);
  return id;
}

std::optional<int64_t> labelled_id(const std::map<std::string, int64_t, std::less<>>& by_name, std::string_view path) {
  while (true) {
    if (const auto it = by_name.find(path); it != by_name.end()) return it->second;
    const size_t slash = path.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    path.remove_prefix(slash + 1);
  }
}

std::vector<CocoDetection> to_coco(std::span<const PictureDetections> pictures, const ClassesCard& classes) {
  std::vector<CocoDetection> out;
  for (const PictureDetections& picture : pictures)
    for (const Detection& d : picture.detections)
      out.push_back({.image_id = picture.image_id,
                     .category_id = category_id(classes, d.label),
                     .box = {d.x0, d.y0, static_cast<double>(d.x1) - d.x0, static_cast<double>(d.y1) - d.y0},
                     .score = d.score});
  return out;
}

std::string detections_to_json(std::span<const PictureDetections> pictures, const ClassesCard& classes) {
  std::string json = "[";
  for (const PictureDetections& picture : pictures) {
    const std::string file_name = quoted(picture.file_name);
    for (const Detection& d : picture.detections)
      json += fmt::format(
          R"({}{{"image_id": {}, "category_id": {}, "bbox": [{}, {}, {}, {}], "score": {}, "file_name": {}}})",
          json.size() == 1 ? "\n" : ",\n", picture.image_id, category_id(classes, d.label), number(d.x0), number(d.y0),
          number(d.x1 - d.x0), number(d.y1 - d.y0), number(d.score), file_name);
  }
  return json + (json.size() == 1 ? "]\n" : "\n]\n");
}

}  // namespace fovea::core
