// Div: a / b with broadcasting; integers are truncated towards zero, and dividing one by zero is an error.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

std::optional<Expr> propagate(const Expr& a, const Expr& b) {
  if (a.dtype() != DType::kInt64) return float_op(ExprOp::kDiv, {a, b});
  if (b.lo() <= 0 && b.hi() >= 0) return std::nullopt;  // perhaps zero: the run says so, if it comes to that
  return trunc_div(a, b);
}

Status infer(InferContext& c) { return infer_broadcast(c, TypeRule::kNumeric, DType::kUndefined, propagate); }

}  // namespace

const OpDef op_Div = {
    .info = {.name = "Div", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"Div"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
