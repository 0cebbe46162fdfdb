// Compress: the slices along an axis where a condition holds; without an axis (ONNX) the elements of the flattened
// input.
#include "ops/axis.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kBool, "bool"));
  FOVEA_TRY(c.expect_rank(1, 1));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<AxisAttrs>().axis, c.rank(0)));
  Shape shape = c.shape(0);
  Dim& size = shape[static_cast<size_t>(axis)];
  Dim most = min(size, c.shape(1)[0]);
  int64_t least = 0;
  if (SymValuePtr known = c.known(1)) {
    int64_t possible = 0;
    for (const auto& e : *known) {
      const bool constant = e && e->is_const();
      least += constant && e->int_value();
      possible += !constant || e->int_value();
    }
    most = min(most, possible);
  }
  if (most.hi() < least) return c.error(fmt::format("{} slices of {} are asked for", least, size.str()));
  size = c.data_dependent_size(0, static_cast<int>(axis), least, most);
  c.set_output(0, c.dtype(0), std::move(shape));
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(AxisAttrs attrs, c.read<AxisAttrs>());
  FOVEA_TRY_SET(Value * x, flat_without_axis(c, attrs.axis));
  return emit_one(c, op_Compress, make_attrs(attrs), {x, c.input(1)});
}

}  // namespace

const OpDef op_Compress = {
    .info = {.name = "Compress", .min_inputs = 2, .max_inputs = 2, .attrs = attrs_codec<AxisAttrs>(), .infer = infer},
    .onnx = {"Compress"},
    .import = import,
};

}  // namespace fovea::core
