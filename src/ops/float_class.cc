// IsNaN and IsInf: to bool.
#include "ops/float_class.h"

#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(infer_unary(c, TypeRule::kFloat));
  c.set_output(0, DType::kBool, c.shape(0));
  return {};
}

}  // namespace

const OpDef op_IsNaN = {
    .info = {.name = "IsNaN", .infer = infer}, .onnx = {"IsNaN"}, .import = import_without_attributes};
const OpDef op_IsInf = {
    .info = {.name = "IsInf", .attrs = attrs_codec<IsInfAttrs>(), .infer = infer},
    .onnx = {"IsInf"},
    .import = import_as_is<IsInfAttrs>,
};

}  // namespace fovea::core
