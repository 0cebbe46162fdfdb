// Normalisations: with given statistics (BatchNormalization), over each channel (InstanceNormalization), group of
// channels (GroupNormalization) or trailing axes (LayerNormalization), over neighbouring channels (LRN), by a norm
// (LpNormalization).
#include "ops/norm.h"

#include "ops/layout.h"
#include "ops/reshape.h"
#include "ops/tensors.h"

namespace fovea::core {
namespace {

Status expect_floats(InferContext& c) {
  for (size_t i = 0; i < c.input_count(); ++i)
    if (c.has(i)) FOVEA_TRY(c.expect_dtype(i, is_float(c.dtype(i)), "a floating-point type"));
  return {};
}

// Inputs from 1 on have one number a channel.
Status expect_channels(InferContext& c) {
  if (c.rank(0) < 2) return c.error(fmt::format("input 0: expected [n, c, ...], found {}", to_string(c.shape(0))));
  const Dim& channels = c.shape(0)[1];
  for (size_t i = 1; i < c.input_count(); ++i) {
    if (!c.has(i)) continue;
    FOVEA_TRY(c.expect_rank(i, 1));
    const Dim& count = c.shape(i)[0];
    if (count.is_const() && channels.is_const() && !(count == channels))
      return c.error(fmt::format("input {}: {} numbers for {} channels", i, count.str(), channels.str()));
  }
  return {};
}

Status infer_channels(InferContext& c) {
  FOVEA_TRY(expect_floats(c));
  FOVEA_TRY(expect_channels(c));
  c.set_output(0, c.dtype(0), c.shape(0));
  return {};
}

Status infer_group(InferContext& c) {
  FOVEA_TRY(infer_channels(c));
  const int64_t groups = c.attrs<GroupNormAttrs>().num_groups;
  const Dim& channels = c.shape(0)[1];
  if (groups < 1 || (channels.is_const() && channels.int_value() % groups != 0))
    return c.error(fmt::format("{} channels cannot be split into {} groups", channels.str(), groups));
  return {};
}

Status infer_layer(InferContext& c) {
  FOVEA_TRY(expect_floats(c));
  FOVEA_TRY_SET(int64_t axis, c.axis(c.attrs<LayerNormAttrs>().axis, c.rank(0)));
  const Shape& x = c.shape(0);
  for (size_t i = 1; i < c.input_count(); ++i) {
    if (!c.has(i)) continue;
    const Shape shapes[] = {x, c.shape(i)};
    if (c.rank(i) > c.rank(0) || !broadcast_shapes(shapes).ok())
      return c.error(
          fmt::format("input {} of shape {} cannot be broadcast to {}", i, to_string(c.shape(i)), to_string(x)));
  }
  Shape statistics = x;
  for (size_t i = static_cast<size_t>(axis); i < statistics.size(); ++i) statistics[i] = 1;
  c.set_output(0, c.dtype(0), x);
  c.set_output(1, DType::kFloat32, statistics);
  c.set_output(2, DType::kFloat32, std::move(statistics));
  return {};
}

Status infer_lp(InferContext& c) {
  FOVEA_TRY(expect_floats(c));
  const auto& attrs = c.attrs<LpNormalizationAttrs>();
  FOVEA_TRY(c.axis(attrs.axis, c.rank(0)).status());
  if (attrs.p != 1 && attrs.p != 2) return c.error(fmt::format("attribute 'p': expected 1 or 2, found {}", attrs.p));
  c.set_output(0, c.dtype(0), c.shape(0));
  return {};
}

Status infer_lrn(InferContext& c) {
  if (const int64_t size = c.attrs<LrnAttrs>().size; size < 1)
    return c.error(fmt::format("attribute 'size': expected at least 1, found {}", size));
  return infer_channels(c);
}

Status import_batch(ImportContext& c) {
  FOVEA_TRY_SET(EpsilonAttrs attrs, c.read<EpsilonAttrs>({"momentum", "training_mode"}));
  if (c.int_attr("training_mode", 0) != 0)
    return c.unsupported("training_mode is set: fovea runs trained networks; export the model in evaluation mode");
  for (size_t i = 1; i < c.output_count(); ++i)
    if (c.wants(i))
      return c.unsupported(fmt::format("output {} is a statistic of training; export the model in evaluation mode", i));
  return emit_one(c, op_BatchNormalization, make_attrs(attrs), c.node().inputs);
}

Status import_layer(ImportContext& c) {
  FOVEA_TRY_SET(LayerNormAttrs attrs, c.read<LayerNormAttrs>({"stash_type"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  if (c.output_count() > 1 && c.int_attr("stash_type", 1) != 1)
    return c.unsupported("statistics in another type than float32");
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, attrs.axis, static_cast<int64_t>(c.input(0)->shape.size())));
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(attrs), c.node().inputs, static_cast<int>(c.output_count())));
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, node->outputs[i]);
  return {};
}

// One number a group, repeated for each of its channels.
Result<Value*> spread_over_channels(ImportContext& c, Value* v, int64_t groups, int64_t channels) {
  TensorPtr ones = filled_tensor(v->dtype, {1, channels / groups}, 1);
  if (!ones) return c.unsupported(fmt::format("scale of {}", to_string(v->dtype)));
  FOVEA_TRY_SET(Node * column, c.emit(op_Reshape, make_attrs(ReshapeAttrs{}), {v, c.ints({groups, 1})}));
  FOVEA_TRY_SET(Node * spread, c.emit(op_Mul, nullptr, {column->output(), c.constant(ones)}));
  FOVEA_TRY_SET(Node * flat, c.emit(op_Reshape, make_attrs(ReshapeAttrs{}), {spread->output(), c.ints({channels})}));
  return flat->output();
}

Status import_group(ImportContext& c) {
  FOVEA_TRY_SET(GroupNormAttrs attrs, c.read<GroupNormAttrs>({"stash_type"}));
  if (!c.has("num_groups")) return c.error("attribute 'num_groups' is missing");
  if (c.opset() >= 21) return emit_one(c, op_GroupNormalization, make_attrs(attrs), c.node().inputs);
  // Before ONNX 21 scale and bias have one number a group.
  for (size_t i = 0; i < 3; ++i)
    if (!c.input(i)) return c.error(fmt::format("input {} is missing", i));
  const Shape& x = c.input(0)->shape;
  if (x.size() < 2 || !x[1].is_const())
    return c.unsupported(fmt::format("input {} without a known number of channels", to_string(x)));
  const int64_t channels = x[1].int_value(), groups = attrs.num_groups;
  if (groups < 1 || channels < 1 || channels % groups != 0 || channels > (int64_t{1} << 24))
    return c.error(fmt::format("{} channels cannot be split into {} groups", channels, groups));
  FOVEA_TRY_SET(Value * scale, spread_over_channels(c, c.input(1), groups, channels));
  FOVEA_TRY_SET(Value * bias, spread_over_channels(c, c.input(2), groups, channels));
  return emit_one(c, op_GroupNormalization, make_attrs(attrs), {c.input(0), scale, bias});
}

Status import_lp(ImportContext& c) {
  FOVEA_TRY_SET(LpNormalizationAttrs attrs, c.read<LpNormalizationAttrs>());
  if (!c.input(0)) return c.error("input 0 is missing");
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, attrs.axis, static_cast<int64_t>(c.input(0)->shape.size())));
  return emit_one(c, op_LpNormalization, make_attrs(attrs), {c.input(0)});
}

}  // namespace

const OpDef op_BatchNormalization = {
    .info = {.name = "BatchNormalization",
             .min_inputs = 5,
             .max_inputs = 5,
             .attrs = attrs_codec<EpsilonAttrs>(),
             .infer = infer_channels},
    .onnx = {"BatchNormalization"},
    .import = import_batch,
};
const OpDef op_GroupNormalization = {
    .info = {.name = "GroupNormalization",
             .min_inputs = 3,
             .max_inputs = 3,
             .attrs = attrs_codec<GroupNormAttrs>(),
             .infer = infer_group},
    .onnx = {"GroupNormalization"},
    .import = import_group,
};
const OpDef op_InstanceNormalization = {
    .info = {.name = "InstanceNormalization",
             .min_inputs = 3,
             .max_inputs = 3,
             .attrs = attrs_codec<EpsilonAttrs>(),
             .infer = infer_channels},
    .onnx = {"InstanceNormalization"},
    .import = import_as_is<EpsilonAttrs>,
};
const OpDef op_LRN = {
    .info = {.name = "LRN", .attrs = attrs_codec<LrnAttrs>(), .infer = infer_lrn},
    .onnx = {"LRN"},
    .import = import_as_is<LrnAttrs>,
};
const OpDef op_LayerNormalization = {
    .info = {.name = "LayerNormalization",
             .min_inputs = 2,
             .max_inputs = 3,
             .max_outputs = 3,
             .attrs = attrs_codec<LayerNormAttrs>(),
             .infer = infer_layer},
    .onnx = {"LayerNormalization"},
    .import = import_layer,
};
const OpDef op_LpNormalization = {
    .info = {.name = "LpNormalization", .attrs = attrs_codec<LpNormalizationAttrs>(), .infer = infer_lp},
    .onnx = {"LpNormalization"},
    .import = import_lp,
};

}  // namespace fovea::core
