// And, Or, Xor, Not of bool, with broadcasting.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status infer_and(InferContext& c) {
  return infer_broadcast(c, TypeRule::kBool, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(logical_and(a, b)); });
}
Status infer_or(InferContext& c) {
  return infer_broadcast(c, TypeRule::kBool, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(logical_or(a, b)); });
}
Status infer_xor(InferContext& c) {
  return infer_broadcast(c, TypeRule::kBool, DType::kBool,
                         [](const Expr& a, const Expr& b) { return std::optional(logical_not(equal(a, b))); });
}
Status infer_not(InferContext& c) { return infer_unary(c, TypeRule::kBool, logical_not); }

}  // namespace

const OpDef op_And = {
    .info = {.name = "And", .min_inputs = 2, .max_inputs = 2, .infer = infer_and},
    .onnx = {"And"},
    .import = import_without_attributes,
};
const OpDef op_Or = {
    .info = {.name = "Or", .min_inputs = 2, .max_inputs = 2, .infer = infer_or},
    .onnx = {"Or"},
    .import = import_without_attributes,
};
const OpDef op_Xor = {
    .info = {.name = "Xor", .min_inputs = 2, .max_inputs = 2, .infer = infer_xor},
    .onnx = {"Xor"},
    .import = import_without_attributes,
};
const OpDef op_Not = {
    .info = {.name = "Not", .infer = infer_not},
    .onnx = {"Not"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
