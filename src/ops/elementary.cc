// Elementary functions of one number: Abs, Neg, Sign, Exp, Log, Sqrt, Reciprocal, Erf.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status infer_abs(InferContext& c) {
  return infer_unary(c, TypeRule::kNumeric, [](const Expr& x) {
    return x.dtype() == DType::kInt64 ? max(x, Expr(0) - x) : float_op(ExprOp::kAbs, {x});
  });
}
Status infer_neg(InferContext& c) {
  return infer_unary(c, TypeRule::kNumeric, [](const Expr& x) {
    return x.dtype() == DType::kInt64 ? Expr(0) - x : float_op(ExprOp::kNeg, {x});
  });
}
Status infer_reciprocal(InferContext& c) {
  return infer_unary(c, TypeRule::kFloat, [](const Expr& x) {
    return float_op(ExprOp::kDiv, {Expr::floating(x.dtype(), 1), x});
  });
}

}  // namespace

const OpDef op_Abs = {
    .info = {.name = "Abs", .infer = infer_abs}, .onnx = {"Abs"}, .import = import_without_attributes};
const OpDef op_Neg = {
    .info = {.name = "Neg", .infer = infer_neg}, .onnx = {"Neg"}, .import = import_without_attributes};
const OpDef op_Sign = {
    .info = {.name = "Sign", .infer = infer_unary_as<TypeRule::kNumeric>},
    .onnx = {"Sign"},
    .import = import_without_attributes,
};
const OpDef op_Exp = {.info = {.name = "Exp", .infer = infer_float_op<ExprOp::kExp>},
                      .onnx = {"Exp"},
                      .import = import_without_attributes};
const OpDef op_Log = {.info = {.name = "Log", .infer = infer_float_op<ExprOp::kLog>},
                      .onnx = {"Log"},
                      .import = import_without_attributes};
const OpDef op_Sqrt = {.info = {.name = "Sqrt", .infer = infer_float_op<ExprOp::kSqrt>},
                       .onnx = {"Sqrt"},
                       .import = import_without_attributes};
const OpDef op_Reciprocal = {
    .info = {.name = "Reciprocal", .infer = infer_reciprocal},
    .onnx = {"Reciprocal"},
    .import = import_without_attributes,
};
const OpDef op_Erf = {
    .info = {.name = "Erf", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Erf"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
