// Dropout, which does nothing in inference; its mask is all true.
#include "ops/constant_of_shape.h"
#include "ops/layout.h"
#include "ops/shape.h"
#include "ops/tensors.h"

namespace fovea::core {
namespace {

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"ratio", "seed"}));
  Value* x = c.input(0);
  if (!x) return c.error("input 0 is missing");
  if (const Value* training = c.input(2)) {
    const bool off = training->constant && training->dtype == DType::kBool &&
                     training->constant->to_ints() == std::vector<int64_t>{0};
    if (!off) return c.unsupported(fmt::format("training_mode '{}' is not a constant false", training->name));
  }
  c.set_output(0, x);
  if (!c.wants(1)) return {};
  const DType mask = c.opset() >= 10 ? DType::kBool : x->dtype;
  TensorPtr one = filled_tensor(mask, {1}, 1);
  if (!one) return c.unsupported(fmt::format("a mask of {}", to_string(mask)));
  FOVEA_TRY_SET(Node * shape, c.emit(op_Shape, make_attrs(ShapeAttrs{}), {x}));
  FOVEA_TRY_SET(Node * ones, c.emit(op_ConstantOfShape, make_attrs(ConstantOfShapeAttrs{one}), {shape->output()}));
  c.set_output(1, ones->output());
  return {};
}

}  // namespace

const OpDef op_Dropout = {.info = {.name = "Dropout"}, .onnx = {"Dropout"}, .import = import};

}  // namespace fovea::core
