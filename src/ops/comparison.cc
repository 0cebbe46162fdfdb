// Equal, Greater, GreaterOrEqual, Less, LessOrEqual with broadcasting, to bool; comparisons with NaN are false.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status infer_equal(InferContext& c) {
  return infer_broadcast(c, TypeRule::kNumericOrBool, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(equal(a, b)); });
}
Status infer_greater(InferContext& c) {
  return infer_broadcast(c, TypeRule::kNumeric, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(less(b, a)); });
}
Status infer_greater_or_equal(InferContext& c) {
  return infer_broadcast(c, TypeRule::kNumeric, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(less_equal(b, a)); });
}
Status infer_less(InferContext& c) {
  return infer_broadcast(c, TypeRule::kNumeric, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(less(a, b)); });
}
Status infer_less_or_equal(InferContext& c) {
  return infer_broadcast(c, TypeRule::kNumeric, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(less_equal(a, b)); });
}

}  // namespace

const OpDef op_Equal = {
    .info = {.name = "Equal", .min_inputs = 2, .max_inputs = 2, .infer = infer_equal},
    .onnx = {"Equal"},
    .import = import_without_attributes,
};
const OpDef op_Greater = {
    .info = {.name = "Greater", .min_inputs = 2, .max_inputs = 2, .infer = infer_greater},
    .onnx = {"Greater"},
    .import = import_without_attributes,
};
const OpDef op_GreaterOrEqual = {
    .info = {.name = "GreaterOrEqual", .min_inputs = 2, .max_inputs = 2, .infer = infer_greater_or_equal},
    .onnx = {"GreaterOrEqual"},
    .import = import_without_attributes,
};
const OpDef op_Less = {
    .info = {.name = "Less", .min_inputs = 2, .max_inputs = 2, .infer = infer_less},
    .onnx = {"Less"},
    .import = import_without_attributes,
};
const OpDef op_LessOrEqual = {
    .info = {.name = "LessOrEqual", .min_inputs = 2, .max_inputs = 2, .infer = infer_less_or_equal},
    .onnx = {"LessOrEqual"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
