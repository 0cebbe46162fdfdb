// ONNX's NonMaxSuppression (10, 11) becomes Nms, as ONNX Runtime runs it: scores [B,C,N] are transposed, constant
// limits become attributes, and what is absent means: no boxes at all (max_output_boxes_per_class), IoU 0, any score.
#include <algorithm>

#include "ops/nms.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

enum Input : size_t { kBoxes, kScores, kMaxOutput, kIouThreshold, kScoreThreshold };

Result<Value*> transpose_scores(ImportContext& c) {
  const OpDef* transpose = find_onnx_op("", "Transpose");
  if (!transpose) return internal_error("{}: no operator Transpose", c.label());
  FOVEA_TRY_SET(AttrsPtr attrs, transpose->info.attrs.from_map({{"perm", std::vector<int64_t>{0, 2, 1}}}));
  FOVEA_TRY_SET(Node * node, c.emit(*transpose, std::move(attrs), {c.input(kScores)}));
  return node->output();
}

// The one number of input i if it is constant; nullopt where only the run will tell.
Result<std::optional<double>> constant_number(ImportContext& c, size_t i) {
  const Value& value = *c.input(i);
  if (value.known && value.known->size() == 1 && value.known->front() && value.known->front()->is_const())
    return std::optional(value.known->front()->float_value());
  const TensorPtr tensor = value.constant;
  if (!tensor) return std::optional<double>();
  const std::vector<double> values = tensor->to_doubles();
  if (values.size() != 1)
    return c.error(fmt::format("input {}: expected one number, found {} elements", i, tensor->count()));
  return std::optional(values[0]);
}

// A constant goes into the attribute, anything else stays an input.
Status read_limit(ImportContext& c, size_t i, double& attribute, Value*& input) {
  if (!c.input(i)) return {};
  FOVEA_TRY_SET(std::optional<double> number, constant_number(c, i));
  if (number) attribute = *number;
  else input = c.input(i);
  return {};
}

Status import(ImportContext& c) {
  NmsAttrs a;
  const int64_t centre = c.int_attr("center_point_box", 0);
  if (centre != 0 && centre != 1) return c.error(fmt::format("center_point_box: expected 0 or 1, found {}", centre));
  for (const auto& [name, unused] : c.node().attributes)
    if (name != "center_point_box") return c.unsupported(fmt::format("attribute '{}' is not known to fovea", name));
  if (!c.input(kBoxes) || !c.input(kScores)) return c.error("boxes and scores are needed");
  for (size_t i : {kBoxes, kScores})
    if (c.input(i)->shape.size() != 3)
      return c.error(fmt::format("input {}: expected rank 3, found {}", i, to_string(c.input(i)->shape)));

  a.box_form = centre ? NmsBoxForm::kCentre : NmsBoxForm::kAnyDiagonal;
  a.iou_threshold = 0;
  Value *group_limit = nullptr, *iou_threshold = nullptr, *score_threshold = nullptr;
  double max_output = 0;
  FOVEA_TRY(read_limit(c, kMaxOutput, max_output, group_limit));
  FOVEA_TRY(read_limit(c, kIouThreshold, a.iou_threshold, iou_threshold));
  FOVEA_TRY(read_limit(c, kScoreThreshold, a.score_threshold, score_threshold));
  // INT64_MAX, as exporters write it for "all", is no limit.
  a.max_per_group =
      max_output >= static_cast<double>(kUnbounded) ? -1 : static_cast<int64_t>(std::max(max_output, 0.0));
  if (!(a.iou_threshold >= 0 && a.iou_threshold <= 1))
    return c.error(fmt::format("iou_threshold: expected 0 to 1, found {}", a.iou_threshold));
  a.score_compare = c.input(kScoreThreshold) ? NmsCompare::kGreater : NmsCompare::kGreaterEqual;

  FOVEA_TRY_SET(Value * scores, transpose_scores(c));
  FOVEA_TRY_SET(Node * node, c.emit(op_Nms, make_attrs(a),
                                    {c.input(kBoxes), scores, nullptr, group_limit, iou_threshold, score_threshold}));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

const OpDef op_NonMaxSuppression = {
    .info = {.name = "NonMaxSuppression"},
    .onnx = {"NonMaxSuppression"},
    .import = import,
};

}  // namespace fovea::core
