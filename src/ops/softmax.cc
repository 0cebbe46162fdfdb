// Softmax and LogSoftmax along one axis: exp(x) / sum of exp(x), and its logarithm. Before ONNX 13 the axis and all
// after it were one: those imports flatten.
#include "ops/softmax.h"

#include "ops/layout.h"
#include "ops/reshape.h"
#include "ops/shape.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)), "a floating-point type"));
  FOVEA_TRY(c.axis(c.attrs<SoftmaxAttrs>().axis, c.rank(0)).status());
  c.set_output(0, c.dtype(0), c.shape(0));
  return {};
}

// [before * ..., axis * ...] and back.
Status import_flattened(ImportContext& c, size_t axis) {
  Value* x = c.input(0);
  FOVEA_TRY_SET(Value * target, flattened_shape(c, x, axis));
  FOVEA_TRY_SET(Node * original, c.emit(op_Shape, make_attrs(ShapeAttrs{}), {x}));
  FOVEA_TRY_SET(Node * flat, c.emit(op_Reshape, make_attrs(ReshapeAttrs{.allowzero = true}), {x, target}));
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(SoftmaxAttrs{.axis = 1}), {flat->output()}));
  return emit_one(c, op_Reshape, make_attrs(ReshapeAttrs{.allowzero = true}), {node->output(), original->output()});
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"axis"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  const Shape& shape = c.input(0)->shape;
  const auto rank = static_cast<int64_t>(shape.size());
  const bool flattens = c.opset() < 13;
  int64_t axis = c.int_attr("axis", flattens ? 1 : -1);
  if (flattens && axis == rank) return c.unsupported(fmt::format("axis {} of a tensor of rank {}", axis, rank));
  FOVEA_TRY_SET(axis, normal_axis(c, axis, rank));
  bool alone = true;  // every size after the axis is 1
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) alone &= shape[i].is_const(1);
  if (flattens && !alone) return import_flattened(c, static_cast<size_t>(axis));
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(SoftmaxAttrs{axis}), {c.input(0)}));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

const OpDef op_LogSoftmax = {
    .info = {.name = "LogSoftmax", .attrs = attrs_codec<SoftmaxAttrs>(), .infer = infer},
    .onnx = {"LogSoftmax"},
    .import = import,
};
const OpDef op_Softmax = {
    .info = {.name = "Softmax", .attrs = attrs_codec<SoftmaxAttrs>(), .infer = infer},
    .onnx = {"Softmax"},
    .import = import,
};

}  // namespace fovea::core
