// ConstantOfShape: one value everywhere, in the shape that the input gives.
#include "ops/constant_of_shape.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const TensorPtr& value = c.attrs<ConstantOfShapeAttrs>().value;
  if (!value || value->count() != 1)
    return c.error(fmt::format("value: expected one element, found {}", value ? value->count() : 0));
  if (value->dtype() == DType::kString) return unsupported("{}: value is a string", c.node().label());
  FOVEA_TRY(c.expect_dtype(0, c.dtype(0) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_rank(0, 1));
  if (!c.shape(0)[0].is_const())
    return unsupported("{}: the length of the shape input is not known: rank must be static", c.node().label());
  SymValuePtr sizes = c.known(0);
  Shape shape;
  for (int64_t i = 0; i < c.shape(0)[0].int_value() && i <= kMaxRank; ++i) {
    const auto k = static_cast<size_t>(i);
    if (sizes && (*sizes)[k]) {
      FOVEA_TRY_SET(Dim size, as_size(c, *(*sizes)[k], fmt::format("element {} of the shape", i)));
      shape.push_back(size);
    } else {
      shape.push_back(c.data_dependent_size(0, static_cast<int>(i), 0, kUnbounded));
    }
  }
  c.set_output(0, value->dtype(), std::move(shape));
  if (SymValuePtr element = known_of(*value)) propagate(c, 0, [&](std::span<const int64_t>) { return (*element)[0]; });
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(ConstantOfShapeAttrs attrs, c.read<ConstantOfShapeAttrs>());
  if (!attrs.value) attrs.value = Tensor::of<float>({1}, {0.0f});
  return emit_one(c, op_ConstantOfShape, make_attrs(std::move(attrs)), c.node().inputs);
}

}  // namespace

const OpDef op_ConstantOfShape = {
    .info = {.name = "ConstantOfShape",
             .attrs = attrs_codec<ConstantOfShapeAttrs>(),
             .infer = infer,
             .reads_values = true},
    .onnx = {"ConstantOfShape"},
    .import = import,
};

}  // namespace fovea::core
