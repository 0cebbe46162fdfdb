// A card as text: the names of its choices, and the TOML that parse_card() reads back.
#include <algorithm>
#include <array>

#include "picture/card.h"

namespace fovea::core {
namespace {

std::string quoted(std::string_view s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else out += c;
  }
  return out + '"';
}

// Shortest digits that read back as the same double, and never an integer's look.
std::string number(double value) {
  std::string s = fmt::format("{}", value);
  return s.find_first_of(".e") == std::string::npos ? s + ".0" : s;
}

template <typename T, typename F>
std::string list(const std::vector<T>& values, F&& print) {
  std::string s = "[";
  for (size_t i = 0; i < values.size(); ++i) s += (i ? ", " : "") + print(values[i]);
  return s + "]";
}

class Printer {
 public:
  void section(std::string_view header) { text_ += fmt::format("{}{}\n", text_.empty() ? "" : "\n", header); }
  void raw(std::string_view key, std::string_view value) { text_ += fmt::format("{} = {}\n", key, value); }
  void string(std::string_view key, std::string_view value) {
    if (!value.empty()) raw(key, quoted(value));
  }
  template <typename E>
  void word(std::string_view key, E value) {
    string(key, to_string(value));
  }
  void boolean(std::string_view key, bool value) { raw(key, value ? "true" : "false"); }
  void integer(std::string_view key, int64_t value) { raw(key, fmt::format("{}", value)); }
  void real(std::string_view key, double value) { raw(key, number(value)); }
  void reals(std::string_view key, const std::vector<double>& values) { raw(key, list(values, number)); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void print_resize(Printer& out, const ResizeRule& r) {
  out.word("resize", r.mode);
  bool letterbox = r.mode == ResizeMode::kLetterbox, shortest = r.mode == ResizeMode::kShortestSide;
  if (letterbox || r.mode == ResizeMode::kStretch) out.raw("size", fmt::format("[{}, {}]", r.height, r.width));
  if (shortest) out.integer("min_side", r.min_side);
  if (shortest) out.integer("max_side", r.max_side);
  if (shortest || r.mode == ResizeMode::kNone) out.integer("divisible_by", r.divisible_by);
  if (letterbox) out.word("align", r.align);
  if (letterbox || shortest) out.word("rounding", r.rounding);
}

void print_picture(Printer& out, const PictureCard& p) {
  out.section("[picture]");
  out.string("input", p.input);
  print_resize(out, p.resize);
  if (p.resize.mode != ResizeMode::kNone) out.boolean("antialias", p.antialias);
  if (p.resize.mode != ResizeMode::kStretch) out.reals("pad_value", p.pad_value);
  out.word("color", p.color);
  out.real("scale", p.scale);
  out.reals("mean", p.mean);
  out.reals("std", p.std);
  out.word("layout", p.layout);
}

void print_input(Printer& out, const InputCard& input) {
  out.section("[[inputs]]");
  out.string("name", input.name);
  out.word("role", input.role);
  switch (input.role) {
    case InputRole::kPaddingMask: return out.word("true_is", input.true_is);
    case InputRole::kConstant:
      return input.value.size() == 1 ? out.real("value", input.value[0]) : out.reals("value", input.value);
    default: return out.word("order", input.order);
  }
}

void print_outputs(Printer& out, const ModelCard& card) {
  const OutputsCard& o = card.outputs;
  out.section("[outputs]");
  out.string("boxes", o.boxes);
  out.string("scores", o.scores);
  out.string("labels", o.labels);
  out.string("image_index", o.image_index);
  out.string("count", o.count);
  if (!o.joined.empty()) {
    out.string("joined", o.joined);
    out.word("joined_layout", o.joined_layout);
    out.boolean("objectness", o.objectness);
  }
  if (!card.postprocess || card.postprocess->decode == BoxDecode::kNone) {
    out.word("box_format", o.box_format);
    out.boolean("normalized", o.normalized);
    out.word("relative_to", o.relative_to);
  }
  out.integer("label_offset", o.label_offset);
  out.boolean("clip_to_picture", o.clip_to_picture);
}

void print_postprocess(Printer& out, const PostprocessCard& p) {
  out.section("[postprocess]");
  out.word("activation", p.activation);
  out.integer("background", p.background);
  out.word("decode", p.decode);
  out.string("anchors", p.anchors);
  if (!p.variances.empty()) out.reals("variances", p.variances);
  if (!p.scales.empty()) out.reals("scales", p.scales);
  if (p.decode != BoxDecode::kNone) out.boolean("clip", p.clip);
  out.real("score_threshold", p.score_threshold);
  out.word("score_compare", p.score_compare);
  out.real("iou_threshold", p.iou_threshold);
  out.word("iou_compare", p.iou_compare);
  out.word("candidates", p.candidates);
  if (p.candidates == Candidates::kTopM) out.integer("top_m", p.top_m);
  out.integer("top_k", p.top_k);
  out.integer("max_per_class", p.max_per_class);
  out.integer("max_detections", p.max_detections);
  out.boolean("class_agnostic", p.class_agnostic);
  out.integer("iou_offset", p.iou_offset);
  out.real("soft_nms_sigma", p.soft_nms_sigma);
}

void print_classes(Printer& out, const ClassesCard& c) {
  if (c == ClassesCard()) return;
  out.section("[classes]");
  if (!c.names.empty()) out.raw("names", list(c.names, quoted));
  out.string("names_file", c.names_file);
  auto print = [](int64_t id) { return fmt::format("{}", id); };
  if (!c.category_ids.empty()) out.raw("category_ids", list(c.category_ids, print));
}

template <typename E, size_t N>
std::string_view name_of(const std::array<std::string_view, N>& names, E value) {
  return names[std::min(static_cast<size_t>(value), N - 1)];
}

}  // namespace

std::string to_toml(const ModelCard& card) {
  Printer out;
  print_picture(out, card.picture);
  for (const InputCard& input : card.inputs) print_input(out, input);
  print_outputs(out, card);
  if (card.postprocess) print_postprocess(out, *card.postprocess);
  print_classes(out, card.classes);
  return out.take();
}

std::string_view to_string(ColorOrder v) { return name_of<ColorOrder, 3>({"rgb", "bgr", "gray"}, v); }
std::string_view to_string(PictureLayout v) { return name_of<PictureLayout, 4>({"nchw", "nhwc", "chw", "hwc"}, v); }
std::string_view to_string(InputRole v) {
  return name_of<InputRole, 5>({"padding_mask", "original_size", "resized_size", "scale", "constant"}, v);
}
std::string_view to_string(MaskTruth v) { return name_of<MaskTruth, 2>({"padding", "picture"}, v); }
std::string_view to_string(SizeOrder v) { return name_of<SizeOrder, 2>({"hw", "wh"}, v); }
std::string_view to_string(BoxFormat v) { return name_of<BoxFormat, 4>({"xyxy", "yxyx", "cxcywh", "xywh"}, v); }
std::string_view to_string(BoxReference v) { return name_of<BoxReference, 2>({"input", "original"}, v); }
std::string_view to_string(JoinedLayout v) { return name_of<JoinedLayout, 2>({"bnc", "bcn"}, v); }
std::string_view to_string(Activation v) { return name_of<Activation, 3>({"none", "sigmoid", "softmax"}, v); }
std::string_view to_string(BoxDecode v) { return name_of<BoxDecode, 3>({"none", "ssd", "yxhw"}, v); }
std::string_view to_string(Comparison v) { return name_of<Comparison, 2>({">", ">="}, v); }
std::string_view to_string(Candidates v) { return name_of<Candidates, 3>({"per_class", "argmax", "top_m"}, v); }

}  // namespace fovea::core
