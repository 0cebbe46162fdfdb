#include "picture/card.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/utf8.h"
#include "picture/toml_tree.h"

namespace fovea::core {
namespace {

constexpr int64_t kMaxSide = 1 << 14;  // pixels of a network's input
constexpr int64_t kMaxCount = int64_t{1} << 31;
constexpr double kMaxNumber = 1e9;

std::string with(std::string_view key, std::string_view value) { return fmt::format("with {} = \"{}\"", key, value); }

void read_size(TomlReader& r, ResizeRule& rule) {
  bool fixed = rule.mode == ResizeMode::kStretch || rule.mode == ResizeMode::kLetterbox;
  std::string mode = with("resize", to_string(rule.mode));
  if (!fixed) return r.refuse("size", mode);
  r.require("size", "[height, width] of the network's input " + mode);
  std::vector<int64_t> size(2);
  r.integers("size", size, 2, 1, kMaxSide);
  rule.height = size[0];
  rule.width = size[1];
}

void read_sides(TomlReader& r, ResizeRule& rule) {
  std::string mode = with("resize", to_string(rule.mode));
  for (auto [key, side] : {std::pair("min_side", &rule.min_side), std::pair("max_side", &rule.max_side)}) {
    if (rule.mode != ResizeMode::kShortestSide) {
      r.refuse(key, mode);
      continue;
    }
    r.require(key, "a length in pixels " + mode);
    r.integer(key, *side, 1, kMaxSide);
  }
  if (rule.min_side > rule.max_side)
    r.complain("max_side", fmt::format("expected at least min_side, {}", rule.min_side));
}

void read_resize(TomlReader& r, PictureCard& p) {
  ResizeRule& rule = p.resize;
  r.require("resize", "how a picture becomes the network's size");
  r.choice("resize", rule.mode, 4);
  std::string mode = with("resize", to_string(rule.mode));
  bool letterbox = rule.mode == ResizeMode::kLetterbox, shortest = rule.mode == ResizeMode::kShortestSide;
  bool none = rule.mode == ResizeMode::kNone;
  read_size(r, rule);
  read_sides(r, rule);
  r.refuse_unless(shortest || none, "divisible_by", mode);
  r.integer("divisible_by", rule.divisible_by, 1, 1024);
  r.refuse_unless(letterbox, "align", mode);
  r.choice("align", rule.align, 2);
  r.refuse_unless(letterbox || shortest, "rounding", mode);
  rule.rounding = shortest ? ResizeRounding::kDown : ResizeRounding::kNearest;
  r.choice("rounding", rule.rounding, 2);
  r.refuse_unless(!none, "antialias", mode);
  r.boolean("antialias", p.antialias);
}

// Whether the rule can pad at all.
bool pads(const ResizeRule& rule) { return rule.mode != ResizeMode::kStretch; }

void read_pixels(TomlReader& r, PictureCard& p) {
  r.choice("color", p.color, 3);
  const auto channels = static_cast<size_t>(p.channels());
  p.pad_value.assign(channels, 0);
  p.mean.assign(channels, 0);
  p.std.assign(channels, 1);
  r.refuse_unless(pads(p.resize), "pad_value", with("resize", to_string(p.resize.mode)));
  r.numbers("pad_value", p.pad_value, channels, 0, 255);
  r.number("scale", p.scale, 1e-9, kMaxNumber);
  r.numbers("mean", p.mean, channels, -kMaxNumber, kMaxNumber);
  r.numbers("std", p.std, channels, 1e-9, kMaxNumber);
  r.choice("layout", p.layout, 4);
}

void read_input(TomlReader& r, InputCard& input) {
  r.require("name", "the name of a network input");
  r.string("name", input.name);
  r.require("role", "what the input is");
  r.choice("role", input.role, 5);
  std::string role = with("role", to_string(input.role));
  bool mask = input.role == InputRole::kPaddingMask, constant = input.role == InputRole::kConstant;
  if (mask) r.require("true_is", "\"padding\" or \"picture\" " + role);
  r.refuse_unless(mask, "true_is", role);
  r.choice("true_is", input.true_is, 2);
  r.refuse_unless(!mask && !constant, "order", role);
  r.choice("order", input.order, 2);
  if (constant) r.require("value", "a number or a list of numbers " + role);
  r.refuse_unless(constant, "value", role);
  r.number_or_numbers("value", input.value);
}

Status read_picture(const TomlNode& table, std::string_view file, PictureCard& p) {
  TomlReader r(table, "picture", file);
  r.require("input", "the name of the network input that takes the picture");
  r.string("input", p.input);
  read_resize(r, p);
  read_pixels(r, p);
  return r.finish();
}

Status read_inputs(std::span<const TomlNode> tables, std::string_view file, ModelCard& card) {
  std::set<std::string> names = {card.picture.input};
  for (const TomlNode& table : tables) {
    TomlReader r(table, fmt::format("inputs[{}]", card.inputs.size()), file);
    InputCard input;
    read_input(r, input);
    if (!names.insert(input.name).second)
      r.complain("name", fmt::format("\"{}\" is another input's name already", input.name));
    FOVEA_TRY(r.finish());
    card.inputs.push_back(std::move(input));
  }
  return {};
}

void read_box_meaning(TomlReader& r, const std::optional<PostprocessCard>& post, OutputsCard& o) {
  if (post && post->decode != BoxDecode::kNone) {
    std::string decode =
        with("postprocess.decode", to_string(post->decode)) + ", which gives normalised xyxy of the input";
    for (auto key : {"box_format", "normalized", "relative_to"}) r.refuse(key, decode);
    o.normalized = true;
    return;
  }
  r.require("box_format", "the order of a box's four numbers");
  r.choice("box_format", o.box_format, 4);
  r.require("normalized", "true (0..1) or false (pixels)");
  r.boolean("normalized", o.normalized);
  if (o.normalized && post && post->iou_offset == 1)
    r.complain("normalized", "expected false with postprocess.iou_offset = 1, which counts pixels, found true");
  r.choice("relative_to", o.relative_to, 2);
}

// One output that holds boxes and scores; true if there is one.
bool read_joined(TomlReader& r, const std::optional<PostprocessCard>& post, OutputsCard& o) {
  const bool joined = r.has("joined");
  r.string("joined", o.joined);
  if (joined && !post) r.complain("joined", "expected a [postprocess] section, which takes it apart");
  for (auto key : {"boxes", "scores", "labels"}) r.refuse_unless(!joined, key, "beside joined");
  if (joined) r.require("joined_layout", "\"bnc\" or \"bcn\", the order of the axes batch, boxes, numbers of a box");
  for (auto key : {"joined_layout", "objectness"}) r.refuse_unless(joined, key, "without joined");
  r.choice("joined_layout", o.joined_layout, 2);
  r.boolean("objectness", o.objectness);
  if (o.objectness && post && post->activation == Activation::kSoftmax)
    r.complain("objectness", "expected false " + with("postprocess.activation", "softmax") + ", found true");
  return joined;
}

Status read_outputs(const TomlNode& table, std::string_view file, ModelCard& card) {
  TomlReader r(table, "outputs", file);
  OutputsCard& o = card.outputs;
  const bool joined = read_joined(r, card.postprocess, o);
  for (auto [key, name] : {std::pair("boxes", &o.boxes), std::pair("scores", &o.scores)}) {
    if (!joined) r.require(key, "the name of a network output");
    r.string(key, *name);
  }
  r.string("labels", o.labels);
  r.string("image_index", o.image_index);
  r.string("count", o.count);
  if (!o.count.empty() && !o.image_index.empty()) r.refuse("count", "beside image_index");
  if (card.postprocess)
    for (auto key : {"image_index", "count"})
      r.refuse(key, "with a [postprocess] section: its rows are those of one picture");
  read_box_meaning(r, card.postprocess, o);
  r.integer("label_offset", o.label_offset, -1'000'000, 1'000'000);
  r.boolean("clip_to_picture", o.clip_to_picture);
  return r.finish();
}

void read_decode(TomlReader& r, PostprocessCard& p) {
  r.choice("decode", p.decode, 3);
  std::string decode = with("decode", to_string(p.decode));
  bool none = p.decode == BoxDecode::kNone, ssd = p.decode == BoxDecode::kSsd;
  if (!none) r.require("anchors", "an .npy file " + decode);
  r.refuse_unless(!none, "anchors", decode);
  r.string("anchors", p.anchors);
  r.refuse_unless(!none, "clip", decode);
  r.boolean("clip", p.clip);
  r.refuse_unless(ssd, "variances", decode);
  r.refuse_unless(p.decode == BoxDecode::kYxhw, "scales", decode);
  if (ssd) p.variances = {0.1, 0.1, 0.2, 0.2};
  if (!none && !ssd) p.scales = {10, 10, 5, 5};
  r.numbers("variances", p.variances, 4, 1e-9, kMaxNumber);
  r.numbers("scales", p.scales, 4, 1e-9, kMaxNumber);
}

void read_suppression(TomlReader& r, PostprocessCard& p) {
  r.number("score_threshold", p.score_threshold, 0, 1);
  r.choice("score_compare", p.score_compare, 2);
  r.number("iou_threshold", p.iou_threshold, 0, 1);
  r.choice("iou_compare", p.iou_compare, 2);
  r.choice("candidates", p.candidates, 3);
  std::string candidates = with("candidates", to_string(p.candidates));
  bool top_m = p.candidates == Candidates::kTopM;
  if (top_m) r.require("top_m", "how many scores of a box become candidates " + candidates);
  r.refuse_unless(top_m, "top_m", candidates);
  r.integer("top_m", p.top_m, 1, kMaxCount);
  r.integer("top_k", p.top_k, 0, kMaxCount);
  r.integer("max_per_class", p.max_per_class, 0, kMaxCount);
  r.integer("max_detections", p.max_detections, 0, kMaxCount);
  r.boolean("class_agnostic", p.class_agnostic);
  r.integer("iou_offset", p.iou_offset, 0, 1);
  if (p.iou_offset == 1 && p.decode != BoxDecode::kNone)
    r.complain("iou_offset", fmt::format("expected 0 {}, whose boxes are fractions and not pixels, found 1",
                                         with("decode", to_string(p.decode))));
  r.number("soft_nms_sigma", p.soft_nms_sigma, 0, kMaxNumber);
}

Status read_postprocess(const TomlNode& table, std::string_view file, PostprocessCard& p) {
  TomlReader r(table, "postprocess", file);
  r.choice("activation", p.activation, 3);
  r.integer("background", p.background, -1, kMaxCount);
  read_decode(r, p);
  read_suppression(r, p);
  return r.finish();
}

Status read_classes(const TomlNode& table, std::string_view file, ClassesCard& c) {
  TomlReader r(table, "classes", file);
  r.strings("names", c.names);
  r.string("names_file", c.names_file);
  if (!c.names.empty()) r.refuse("names_file", "beside names");
  r.integers("category_ids", c.category_ids, std::nullopt, 0, int64_t{1} << 53);
  size_t ids = c.category_ids.size();
  if (ids && !c.names.empty() && ids != c.names.size())
    r.complain("category_ids", fmt::format("expected one for each of {} names, found {}", c.names.size(), ids));
  if (std::set(c.category_ids.begin(), c.category_ids.end()).size() != ids)
    r.complain("category_ids", "expected a different one for each class");
  return r.finish();
}

// The path of a file that a card names, which counts from the card's own folder.
std::string beside(const std::string& card_path, const std::string& file) {
  return (std::filesystem::path(card_path).parent_path() / file).string();
}

Result<std::vector<std::string>> read_lines(const std::string& path) {
  FOVEA_TRY_SET(std::string text, read_file(path));
  std::vector<std::string> lines;
  std::string_view rest = text;
  if (constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf"; rest.starts_with(kByteOrderMark))
    rest.remove_prefix(kByteOrderMark.size());
  while (!rest.empty()) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!is_utf8(line))
      return invalid_argument("{}:{}: expected a class name in UTF-8, found bytes that are not: save the file as UTF-8",
                              path, lines.size() + 1);
    lines.emplace_back(line);
  }
  if (lines.empty()) return invalid_argument("{}: expected class names, one a line, found an empty file", path);
  return lines;
}

Result<NpyArray> to_float32(NpyArray array, const std::string& path) {
  if (array.dtype != DType::kFloat32 && array.dtype != DType::kFloat64)
    return invalid_argument("{}: expected anchors in float32 or float64, found {}", path, to_string(array.dtype));
  if (array.dtype == DType::kFloat32) return array;
  std::vector<double> wide(array.data.size() / sizeof(double));
  std::memcpy(wide.data(), array.data.data(), array.data.size());
  std::vector<float> narrow(wide.begin(), wide.end());
  auto bytes = std::as_bytes(std::span(narrow));
  return NpyArray{DType::kFloat32, std::move(array.shape), {bytes.begin(), bytes.end()}};
}

}  // namespace

Result<ModelCard> parse_card(std::string_view toml, std::string_view file_name) {
  FOVEA_TRY_SET(TomlNode root, parse_toml(toml, file_name));
  TomlReader r(root, "", file_name);
  const TomlNode* picture = r.table("picture");
  std::span<const TomlNode> inputs = r.tables("inputs");
  const TomlNode* outputs = r.table("outputs");
  const TomlNode* postprocess = r.table("postprocess");
  const TomlNode* classes = r.table("classes");
  r.require("picture", "a section [picture]");
  r.require("outputs", "a section [outputs]");
  FOVEA_TRY(r.finish());
  ModelCard card;
  FOVEA_TRY(read_picture(*picture, file_name, card.picture));
  FOVEA_TRY(read_inputs(inputs, file_name, card));
  if (postprocess) FOVEA_TRY(read_postprocess(*postprocess, file_name, card.postprocess.emplace()));
  FOVEA_TRY(read_outputs(*outputs, file_name, card));
  if (classes) FOVEA_TRY(read_classes(*classes, file_name, card.classes));
  return card;
}

Result<ModelCard> read_card(const std::string& path) {
  FOVEA_TRY_SET(std::string text, read_file(path));
  FOVEA_TRY_SET(ModelCard card, parse_card(text, path));
  ClassesCard& c = card.classes;
  if (c.names_file.empty()) return card;
  std::string names_path = beside(path, c.names_file);
  FOVEA_TRY_SET(c.names, read_lines(names_path));
  c.names_file.clear();
  if (!c.category_ids.empty() && c.category_ids.size() != c.names.size())
    return invalid_argument("{}: classes.category_ids: expected one for each of {} names in {}, found {}", path,
                            c.names.size(), names_path, c.category_ids.size());
  return card;
}

Result<NpyArray> read_anchors(const ModelCard& card, const std::string& card_path) {
  if (!card.postprocess || card.postprocess->anchors.empty())
    return internal_error("{}: the card names no anchors", card_path);
  std::string path = beside(card_path, card.postprocess->anchors);
  FOVEA_TRY_SET(NpyArray array, read_npy(path));
  if (array.shape.size() != 2 || array.shape[1] != 4 || array.shape[0] < 1)
    return invalid_argument("{}: expected anchors of shape (N, 4), found ({})", path, fmt::join(array.shape, ", "));
  FOVEA_TRY_SET(NpyArray anchors, to_float32(std::move(array), path));
  for (size_t at = 0; at < anchors.data.size(); at += sizeof(float)) {
    float value;
    std::memcpy(&value, &anchors.data[at], sizeof value);
    if (!std::isfinite(value))
      return invalid_argument("{}: expected finite anchors, found {} in row {}", path, value, at / 16);
  }
  return anchors;
}

std::string class_name(const ClassesCard& classes, int64_t index) {
  if (index >= 0 && index < static_cast<int64_t>(classes.names.size()))
    return classes.names[static_cast<size_t>(index)];
  return fmt::format("class {}", index);
}

int64_t category_id(const ClassesCard& classes, int64_t index) {
  if (index >= 0 && index < static_cast<int64_t>(classes.category_ids.size()))
    return classes.category_ids[static_cast<size_t>(index)];
  return index + 1;
}

}  // namespace fovea::core
