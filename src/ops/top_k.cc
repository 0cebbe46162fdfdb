// TopK: the k largest or smallest elements along an axis and their indices. Of equal ones the lowest index comes first;
// NaN counts as larger than every number. Outputs: values, indices.
#include "ops/top_k.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<TopKAttrs>().axis, c.rank(0)));
  if (!product(c.shape(1)).is_const(1))
    return c.error(fmt::format("k: expected one number, found shape {}", to_string(c.shape(1))));
  Shape shape = c.shape(0);
  Dim& size = shape[static_cast<size_t>(axis)];
  SymValuePtr k = c.known(1);
  if (k && (*k)[0]) {
    FOVEA_TRY_SET(Dim wanted, as_size(c, *(*k)[0], "k"));
    if (less(size, wanted) == Expr::boolean(true))
      return c.error(fmt::format("k = {} of {} elements", wanted.str(), size.str()));
    size = wanted;
  } else {
    size = c.data_dependent_size(c.node().output(0) ? 0 : 1, static_cast<int>(axis), 0, size);
  }
  c.set_output(0, c.dtype(0), shape);
  c.set_output(1, DType::kInt64, shape);
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(TopKAttrs attrs, c.read<TopKAttrs>({"k"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, attrs.axis, static_cast<int64_t>(c.input(0)->shape.size())));
  Value* k = c.opset() < 10 ? c.ints({c.int_attr("k", 0)}) : c.input(1);
  FOVEA_TRY(c.deferred());
  FOVEA_TRY_SET(Node * node, c.emit(op_TopK, make_attrs(attrs), {c.input(0), k}, 2));
  for (size_t i = 0; i < c.output_count() && i < 2; ++i) c.set_output(i, node->outputs[i]);
  return {};
}

}  // namespace

const OpDef op_TopK = {
    .info = {.name = "TopK",
             .min_inputs = 2,
             .max_inputs = 2,
             .min_outputs = 2,
             .max_outputs = 2,
             .attrs = attrs_codec<TopKAttrs>(),
             .infer = infer,
             .reads_values = true},
    .onnx = {"TopK"},
    .import = import,
};

}  // namespace fovea::core
