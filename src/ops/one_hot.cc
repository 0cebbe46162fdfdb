// OneHot: a new dimension of size depth that holds values[1] at the index and values[0] elsewhere; an index outside
// [-depth, depth) marks nothing. Inputs: indices (int64), depth (int64), values.
#include "ops/axis.h"
#include "ops/cast.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, c.dtype(0) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(refuse_strings(c, 2));
  if (!product(c.shape(1)).is_const(1))
    return c.error(fmt::format("depth: expected one number, found shape {}", to_string(c.shape(1))));
  FOVEA_TRY(c.expect_rank(2, 1));
  FOVEA_TRY(same_size(c, c.shape(2)[0], 2, "number of values").status());
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<AxisAttrs>().axis, c.rank(0) + 1));
  Shape shape = c.shape(0);
  SymValuePtr depth = c.known(1);
  Dim size;
  if (depth && (*depth)[0]) {
    FOVEA_TRY_SET(size, as_size(c, *(*depth)[0], "depth"));
  } else {
    size = c.data_dependent_size(0, static_cast<int>(axis), 0, kUnbounded);
  }
  shape.insert(shape.begin() + axis, size);
  c.set_output(0, c.dtype(2), std::move(shape));
  return {};
}

Result<Value*> as_int64(ImportContext& c, size_t i) {
  Value* v = c.input(i);
  if (!v) return c.error(fmt::format("input {} is missing", i));
  if (v->dtype == DType::kInt64) return v;
  FOVEA_TRY_SET(Node * node, c.emit(op_Cast, make_attrs(CastAttrs{.to = DType::kInt64}), {v}));
  return node->output();
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"axis"}));
  FOVEA_TRY_SET(Value * indices, as_int64(c, 0));
  FOVEA_TRY_SET(Value * depth, as_int64(c, 1));
  AxisAttrs attrs;
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, c.int_attr("axis", -1), static_cast<int64_t>(indices->shape.size()) + 1));
  return emit_one(c, op_OneHot, make_attrs(attrs), {indices, depth, c.input(2)});
}

}  // namespace

const OpDef op_OneHot = {
    .info = {.name = "OneHot",
             .min_inputs = 3,
             .max_inputs = 3,
             .attrs = attrs_codec<AxisAttrs>(),
             .infer = infer,
             .reads_values = true},
    .onnx = {"OneHot"},
    .import = import,
};

}  // namespace fovea::core
