// ArgMax and ArgMin: where along an axis the largest or smallest element is; the first NaN, if there is one, as in
// NumPy.
#include "ops/arg_max.h"

#include "ops/layout.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ArgMaxAttrs>();
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  FOVEA_TRY_SET(int64_t axis, c.axis(attrs.axis, c.rank(0)));
  Shape y = c.shape(0);
  if (y[static_cast<size_t>(axis)].is_const(0))
    return c.error(fmt::format("no element along axis {} of {}", axis, to_string(y)));
  if (attrs.keepdims) y[static_cast<size_t>(axis)] = 1;
  else y.erase(y.begin() + axis);
  c.set_output(0, DType::kInt64, std::move(y));
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(ArgMaxAttrs attrs, c.read<ArgMaxAttrs>());
  if (!c.input(0)) return c.error("input 0 is missing");
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, attrs.axis, static_cast<int64_t>(c.input(0)->shape.size())));
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(attrs), {c.input(0)}));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

const OpDef op_ArgMax = {
    .info = {.name = "ArgMax", .attrs = attrs_codec<ArgMaxAttrs>(), .infer = infer},
    .onnx = {"ArgMax"},
    .import = import,
};
const OpDef op_ArgMin = {
    .info = {.name = "ArgMin", .attrs = attrs_codec<ArgMaxAttrs>(), .infer = infer},
    .onnx = {"ArgMin"},
    .import = import,
};

}  // namespace fovea::core
