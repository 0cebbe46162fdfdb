// COCO's files. They come from anywhere: every access is checked, no exception of the JSON library leaves this file.
#include <nlohmann/json.hpp>

#include <cmath>
#include <set>

#include "base/file.h"
#include "eval/coco.h"

namespace fovea::core {
namespace {

using Json = nlohmann::json;

// One object of a file, for example annotations[12], and the complaint about it.
struct Entry {
  const Json& json;
  std::string_view file, list;
  size_t index;

  Status wrong(std::string_view key, std::string_view expected) const {
    auto it = json.is_object() ? json.find(key) : json.end();
    bool there = json.is_object() && it != json.end();
    return invalid_argument("{}: {}[{}].{}: expected {}, found {}", file, list, index, key, expected,
                            there ? it->type_name() : "nothing");
  }

  const Json* get(std::string_view key) const {
    if (!json.is_object()) return nullptr;
    auto it = json.find(key);
    return it == json.end() ? nullptr : &*it;
  }

  Status integer(std::string_view key, int64_t& value) const {
    const Json* v = get(key);
    if (!v || !v->is_number_integer()) return wrong(key, "an integer");
    value = v->get<int64_t>();
    return {};
  }

  Status number(std::string_view key, double& value) const {
    const Json* v = get(key);
    if (!v || !v->is_number() || !std::isfinite(v->get<double>())) return wrong(key, "a number");
    value = v->get<double>();
    return {};
  }

  Status string(std::string_view key, std::string& value) const {
    const Json* v = get(key);
    if (!v || !v->is_string()) return wrong(key, "a string");
    value = v->get<std::string>();
    return {};
  }

  Status box(CocoBox& box) const {
    const Json* v = get("bbox");
    bool four = v && v->is_array() && v->size() == 4;
    for (size_t i = 0; four && i < 4; ++i) four = (*v)[i].is_number() && std::isfinite((*v)[i].get<double>());
    if (!four) return wrong("bbox", "a list of four numbers");
    box = {(*v)[0].get<double>(), (*v)[1].get<double>(), (*v)[2].get<double>(), (*v)[3].get<double>()};
    return {};
  }
};

Status read_image_entry(const Entry& e, CocoImage& image) {
  FOVEA_TRY(e.integer("id", image.id));
  return e.get("file_name") ? e.string("file_name", image.file_name) : Status();
}

Status read_category(const Entry& e, CocoCategory& category) {
  FOVEA_TRY(e.integer("id", category.id));
  return e.get("name") ? e.string("name", category.name) : Status();
}

Status read_crowd(const Entry& e, bool& crowd) {
  const Json* v = e.get("iscrowd");
  if (!v) return {};
  if (v->is_boolean()) {
    crowd = v->get<bool>();
    return {};
  }
  int64_t flag = 0;
  FOVEA_TRY(e.integer("iscrowd", flag));
  crowd = flag != 0;
  return {};
}

Status read_object(const Entry& e, CocoObject& object) {
  FOVEA_TRY(e.integer("id", object.id));
  FOVEA_TRY(e.integer("image_id", object.image_id));
  FOVEA_TRY(e.integer("category_id", object.category_id));
  FOVEA_TRY(e.box(object.box));
  object.area = object.box.w * object.box.h;
  if (e.get("area")) FOVEA_TRY(e.number("area", object.area));
  return read_crowd(e, object.crowd);
}

Status read_detection(const Entry& e, CocoDetection& d) {
  FOVEA_TRY(e.integer("image_id", d.image_id));
  FOVEA_TRY(e.integer("category_id", d.category_id));
  FOVEA_TRY(e.box(d.box));
  return e.number("score", d.score);
}

template <typename T>
Status read_list(const Json& list, std::string_view file, std::string_view name, Status (*read)(const Entry&, T&),
                 std::vector<T>& out) {
  for (size_t i = 0; i < list.size(); ++i) FOVEA_TRY(read({list[i], file, name, i}, out.emplace_back()));
  return {};
}

template <typename T>
Status read_member(const Json& root, std::string_view file, std::string_view name, Status (*read)(const Entry&, T&),
                   std::vector<T>& out) {
  auto it = root.find(name);
  if (it == root.end() || !it->is_array()) return invalid_argument("{}: expected a list \"{}\"", file, name);
  FOVEA_TRY(read_list(*it, file, name, read, out));
  std::set<int64_t> ids;
  for (const T& item : out)
    if (!ids.insert(item.id).second)
      return invalid_argument("{}: {}: the id {} stands there twice", file, name, item.id);
  return {};
}

Result<CocoLabels> labels_of(const Json& root, std::string_view name) {
  if (!root.is_object()) return invalid_argument("{}: expected labels in COCO's form (a JSON object)", name);
  CocoLabels labels;
  FOVEA_TRY(read_member(root, name, "images", read_image_entry, labels.images));
  FOVEA_TRY(read_member(root, name, "categories", read_category, labels.categories));
  FOVEA_TRY(read_member(root, name, "annotations", read_object, labels.objects));
  return labels;
}

Result<std::vector<CocoDetection>> detections_of(const Json& root, std::string_view name) {
  if (!root.is_array()) return invalid_argument("{}: expected detections in COCO's form (a JSON list)", name);
  std::vector<CocoDetection> detections;
  FOVEA_TRY(read_list(root, name, "", read_detection, detections));
  return detections;
}

// Parses and hands on; whatever the library throws (no memory, mostly) becomes a Status.
template <typename F>
auto with_json(std::string_view text, std::string_view name, F&& f) -> decltype(f(Json(), name)) {
  try {
    Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (root.is_discarded())
      return invalid_argument("{}: expected JSON, found {}", name, text.empty() ? "an empty file" : "something else");
    return f(root, name);
  } catch (const std::exception& e) {
    return system_error("{}: cannot read JSON: {}", name, e.what());
  }
}

}  // namespace

Result<CocoLabels> parse_coco_labels(std::string_view json, std::string_view name) {
  return with_json(json, name, labels_of);
}

Result<CocoLabels> read_coco_labels(const std::string& path) {
  FOVEA_TRY_SET(std::string text, read_file(path));
  return parse_coco_labels(text, path);
}

Result<std::vector<CocoDetection>> parse_coco_detections(std::string_view json, std::string_view name) {
  return with_json(json, name, detections_of);
}

Result<std::vector<CocoDetection>> read_coco_detections(const std::string& path) {
  FOVEA_TRY_SET(std::string text, read_file(path));
  return parse_coco_detections(text, path);
}

}  // namespace fovea::core
