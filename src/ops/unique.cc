// Unique: the different slices along an axis. Outputs: the slices, where each appears first, which of them every slice
// of the input is, how often each appears.
#include "ops/unique.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)) || c.dtype(0) == DType::kBool,
                           "a number type or bool"));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<UniqueAttrs>().axis, c.rank(0)));
  const Shape from = c.shape(0);
  const Dim& size = from[static_cast<size_t>(axis)];
  Shape shape = from;
  const Dim found = c.data_dependent_size(0, static_cast<int>(axis), size.lo() > 0 ? 1 : 0, size);
  shape[static_cast<size_t>(axis)] = found;
  c.set_output(0, c.dtype(0), std::move(shape));
  c.set_output(1, DType::kInt64, {found});
  c.set_output(2, DType::kInt64, {size});
  c.set_output(3, DType::kInt64, {found});
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(UniqueAttrs attrs, c.read<UniqueAttrs>());
  FOVEA_TRY_SET(Value * x, flat_without_axis(c, attrs.axis));
  FOVEA_TRY_SET(Node * node, c.emit(op_Unique, make_attrs(attrs), {x}, static_cast<int>(c.output_count())));
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, node->outputs[i]);
  return {};
}

}  // namespace

const OpDef op_Unique = {
    .info = {.name = "Unique", .max_outputs = 4, .attrs = attrs_codec<UniqueAttrs>(), .infer = infer},
    .onnx = {"Unique"},
    .import = import,
};

}  // namespace fovea::core
