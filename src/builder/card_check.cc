#include "builder/card_check.h"

#include <algorithm>

#include "picture/inputs.h"
#include "picture/toml_tree.h"

namespace fovea::core {
namespace {

std::string describe(const Value& v) { return fmt::format("{} {}", to_string(v.dtype), to_string(v.shape)); }

Status mistake(std::string_view key, const Value& v, std::string_view expected) {
  return invalid_argument("card: {}: tensor '{}': expected {}, found {}", key, v.name, expected, describe(v));
}

std::vector<std::string> names_of(const std::vector<Value*>& values) {
  std::vector<std::string> names;
  for (const Value* v : values) names.push_back(v->name);
  return names;
}

Status unknown_tensor(std::string_view key, std::string_view kind, const std::string& name,
                      const std::vector<std::string>& names) {
  const auto near = nearest_word(name, names);
  std::string hint =
      near ? fmt::format("did you mean '{}'?", *near) : fmt::format("there are '{}'", fmt::join(names, "', '"));
  return invalid_argument("card: {}: the network has no {} '{}'; {}", key, kind, name, hint);
}

Result<const Value*> find_input(const Graph& graph, std::string_view key, const std::string& name) {
  for (const Value* v : graph.inputs)
    if (v->name == name) return v;
  return unknown_tensor(key, "input", name, names_of(graph.inputs));
}

// An output of the network, by the name that users know.
Result<Value*> find_output(const Graph& graph, std::string_view key, const std::string& name) {
  for (size_t i = 0; i < graph.outputs.size(); ++i)
    if (graph.output_names[i] == name) return graph.outputs[i];
  return unknown_tensor(key, "output", name, graph.output_names);
}

bool differ(const Dim& a, const Dim& b) { return a.is_const() && b.is_const() && !(a == b); }
bool is_real(DType t) { return is_float(t) || is_integer(t); }

Status check_picture(const Value& input, const PictureCard& p) {
  const PictureAxes axes = picture_axes(p.layout);
  const std::string layout(to_string(p.layout));
  if (input.shape.size() != axes.rank)
    return mistake("picture.input", input, fmt::format("rank {} with layout = \"{}\"", axes.rank, layout));
  if (!is_real(input.dtype)) return mistake("picture.input", input, "a number type");
  if (differ(input.shape[axes.channels], p.channels()))
    return mistake("picture.color", input,
                   fmt::format("{} channels, axis {} with layout = \"{}\"", p.channels(), axes.channels, layout));
  const bool fixed = p.resize.mode == ResizeMode::kStretch || p.resize.mode == ResizeMode::kLetterbox;
  const bool wrong =
      fixed && (differ(input.shape[axes.height], p.resize.height) || differ(input.shape[axes.width], p.resize.width));
  if (wrong)
    return mistake("picture.size", input, fmt::format("height and width {} x {}", p.resize.height, p.resize.width));
  // With "none" a network of fixed size takes pictures of that size.
  const bool side_fixed = input.shape[axes.height].is_const() || input.shape[axes.width].is_const();
  if (p.resize.mode == ResizeMode::kShortestSide && side_fixed)
    return mistake("picture.resize", input,
                   "height and width left open, because \"shortest_side\" gives every picture its own");
  return {};
}

// The sides of the network's picture input, where they are known before any picture.
std::pair<Dim, Dim> picture_sides(const Value& input, const PictureCard& p) {
  if (p.resize.mode == ResizeMode::kStretch || p.resize.mode == ResizeMode::kLetterbox)
    return {p.resize.height, p.resize.width};
  const PictureAxes axes = picture_axes(p.layout);
  return {input.shape[axes.height], input.shape[axes.width]};
}

Status check_role(const Value& input, const InputCard& card, const std::pair<Dim, Dim>& sides, std::string_view key) {
  if (!is_real(input.dtype) && input.dtype != DType::kBool) return mistake(key, input, "a number type or bool");
  const Dim count = product(input.shape);
  const bool known = count.is_const();
  const bool sizes = card.role == InputRole::kOriginalSize || card.role == InputRole::kResizedSize;
  if (card.role == InputRole::kPaddingMask && input.shape.size() < 2)
    return mistake(key, input, "at least rank 2 with role = \"padding_mask\"");
  const size_t rank = input.shape.size();
  if (card.role == InputRole::kPaddingMask &&
      (differ(input.shape[rank - 2], sides.first) || differ(input.shape[rank - 1], sides.second)))
    return mistake(key, input,
                   fmt::format("the picture's height and width, {} x {}, in the last two axes with role = "
                               "\"padding_mask\"",
                               sides.first.str(), sides.second.str()));
  if (sizes && (input.shape.empty() || differ(input.shape.back(), 2)))
    return mistake(key, input,
                   fmt::format("height and width in the last axis with role = \"{}\"", to_string(card.role)));
  if (card.role == InputRole::kScale && !input.shape.empty() && input.shape.back().is_const() &&
      input.shape.back().int_value() > 2)
    return mistake(key, input, "one or two numbers in the last axis with role = \"scale\"");
  const auto values = static_cast<int64_t>(card.value.size());
  if (card.role == InputRole::kConstant && values != 1 && known && count.int_value() != values)
    return mistake(key, input, fmt::format("the {} elements of value", values));
  return {};
}

// A role for each input.
Status check_other_inputs(const Graph& graph, const ModelCard& card, const Value& picture) {
  const std::pair<Dim, Dim> sides = picture_sides(picture, card.picture);
  for (size_t i = 0; i < card.inputs.size(); ++i) {
    const std::string key = fmt::format("inputs[{}].name", i);
    FOVEA_TRY_SET(const Value* input, find_input(graph, key, card.inputs[i].name));
    FOVEA_TRY(check_role(*input, card.inputs[i], sides, fmt::format("inputs[{}].role", i)));
  }
  for (const Value* v : graph.inputs) {
    const bool named =
        std::any_of(card.inputs.begin(), card.inputs.end(), [&](const InputCard& c) { return c.name == v->name; });
    if (!named && v->name != card.picture.input)
      return invalid_argument(
          "card: inputs: the network's input '{}', {}, has no [[inputs]] section that says what it holds", v->name,
          describe(*v));
  }
  return {};
}

Status check_boxes(const Value& boxes, std::initializer_list<size_t> ranks, std::string_view shapes) {
  const bool rank = std::find(ranks.begin(), ranks.end(), boxes.shape.size()) != ranks.end();
  if (!rank || differ(boxes.shape.back(), 4) || !is_float(boxes.dtype))
    return mistake("outputs.boxes", boxes, fmt::format("floating-point {}", shapes));
  return {};
}

// Do the first `axes` axes of v agree with those of the boxes?
Status check_rows(std::string_view key, const Value& v, const Value& boxes, size_t axes) {
  for (size_t i = 0; i < axes; ++i)
    if (differ(v.shape[i], boxes.shape[i]))
      return mistake(key, v, fmt::format("the rows of '{}', {}", boxes.name, to_string(boxes.shape)));
  return {};
}

Status check_anchors(const Value& boxes, const TensorPtr& anchors) {
  if (!anchors || anchors->dtype() != DType::kFloat32 || anchors->dims().size() != 2 || anchors->dims()[1] != 4)
    return invalid_argument("card: postprocess.anchors: expected float32 [N,4]");
  if (!differ(boxes.shape[1], anchors->dims()[0])) return {};
  return invalid_argument(
      "card: postprocess.anchors: expected an anchor for each of the {} boxes of '{}', {}, found {}",
      boxes.shape[1].str(), boxes.name, describe(boxes), anchors->dims()[0]);
}

Status check_columns(const Value& scores, const PostprocessCard& post) {
  if (!scores.shape[2].is_const()) return {};
  const int64_t columns = scores.shape[2].int_value();
  if (post.background < columns) return {};
  return mistake("postprocess.background", scores, fmt::format("a column {}", post.background));
}

Status check_joined(const Value& v, const OutputsCard& o) {
  const bool last = o.joined_layout == JoinedLayout::kBnc;
  const int64_t least = o.objectness ? 6 : 5;
  if (is_float(v.dtype) && v.shape.size() == 3) {
    const Dim& numbers = v.shape[last ? 2 : 1];
    if (!numbers.is_const() || numbers.int_value() >= least) return {};
  }
  return mistake("outputs.joined", v,
                 fmt::format("floating-point {} with at least {} numbers a box, C, with joined_layout = \"{}\"",
                             last ? "[B,N,C]" : "[B,C,N]", least, to_string(o.joined_layout)));
}

}  // namespace

Result<const Value*> check_inputs(const Graph& graph, const ModelCard& card) {
  FOVEA_TRY_SET(const Value* picture, find_input(graph, "picture.input", card.picture.input));
  FOVEA_TRY(check_picture(*picture, card.picture));
  FOVEA_TRY(check_other_inputs(graph, card, *picture));
  return picture;
}

Result<DetectionTensors> find_detection_tensors(const Graph& graph, const ModelCard& card) {
  const OutputsCard& o = card.outputs;
  DetectionTensors t;
  if (!o.joined.empty()) {
    FOVEA_TRY_SET(t.joined, find_output(graph, "outputs.joined", o.joined));
    FOVEA_TRY(check_joined(*t.joined, o));
    return t;
  }
  FOVEA_TRY_SET(t.boxes, find_output(graph, "outputs.boxes", o.boxes));
  FOVEA_TRY_SET(t.scores, find_output(graph, "outputs.scores", o.scores));
  if (o.labels.empty()) return t;
  FOVEA_TRY_SET(t.labels, find_output(graph, "outputs.labels", o.labels));
  return t;
}

Status check_detection_tensors(const DetectionTensors& t, const ModelCard& card, const TensorPtr& anchors) {
  const PostprocessCard& post = *card.postprocess;
  FOVEA_TRY(check_boxes(*t.boxes, {3, 4}, "[B,N,4] or [B,N,C,4]"));
  if (!is_float(t.scores->dtype)) return mistake("outputs.scores", *t.scores, "a floating-point type");
  if (!t.labels) {
    if (t.scores->shape.size() != 3)
      return mistake("outputs.scores", *t.scores, "[B,N,C]: a column for each class, or [B,N] beside outputs.labels");
    FOVEA_TRY(check_columns(*t.scores, post));
    const Shape& boxes = t.boxes->shape;
    if (boxes.size() == 4 && !boxes[2].is_const(1) && differ(boxes[2], t.scores->shape[2]))
      return mistake("outputs.boxes", *t.boxes,
                     fmt::format("a box for each column of '{}', {}", t.scores->name, to_string(t.scores->shape)));
  } else {
    if (t.scores->shape.size() != 2) return mistake("outputs.scores", *t.scores, "[B,N] beside outputs.labels");
    if (t.labels->shape.size() != 2 || !is_real(t.labels->dtype))
      return mistake("outputs.labels", *t.labels, "numbers [B,N]");
    FOVEA_TRY(check_rows("outputs.labels", *t.labels, *t.boxes, 2));
    if (post.activation == Activation::kSoftmax)
      return mistake("postprocess.activation", *t.scores, "a column for each class with activation = \"softmax\"");
    if (post.background >= 0) return mistake("postprocess.background", *t.scores, "a column for each class");
    if (t.boxes->shape.size() != 3) return mistake("outputs.boxes", *t.boxes, "[B,N,4] beside outputs.labels");
  }
  FOVEA_TRY(check_rows("outputs.scores", *t.scores, *t.boxes, 2));
  if (post.decode != BoxDecode::kNone) FOVEA_TRY(check_anchors(*t.boxes, anchors));
  return {};
}

Status check_detection_outputs(const Graph& graph, const ModelCard& card) {
  const OutputsCard& o = card.outputs;
  FOVEA_TRY_SET(const Value* boxes, find_output(graph, "outputs.boxes", o.boxes));
  FOVEA_TRY(check_boxes(*boxes, {2, 3}, "[K,4] or [B,N,4]"));
  const size_t axes = boxes->shape.size() - 1;
  for (auto [key, name] : {std::pair("outputs.scores", &o.scores), std::pair("outputs.labels", &o.labels),
                           std::pair("outputs.image_index", &o.image_index)}) {
    if (name->empty()) continue;
    FOVEA_TRY_SET(const Value* v, find_output(graph, key, *name));
    if (!is_real(v->dtype)) return mistake(key, *v, "a number type");
    const bool trailing_one = v->shape.size() == axes + 1 && v->shape.back().is_const(1);
    if (v->shape.size() != axes && !trailing_one)
      return mistake(key, *v, fmt::format("a number for each row of '{}', {}", boxes->name, to_string(boxes->shape)));
    FOVEA_TRY(check_rows(key, *v, *boxes, axes));
  }
  if (!o.image_index.empty() && axes != 1) return mistake("outputs.boxes", *boxes, "[K,4] beside outputs.image_index");
  if (o.count.empty()) return {};
  FOVEA_TRY_SET(const Value* count, find_output(graph, "outputs.count", o.count));
  if (axes != 2) return mistake("outputs.boxes", *boxes, "[B,N,4] beside outputs.count");
  if (!is_real(count->dtype)) return mistake("outputs.count", *count, "a number type");
  return {};
}

}  // namespace fovea::core
