// Max: the larger of two with broadcasting; NaN where either is NaN. ONNX's has any number of inputs.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

std::optional<Expr> propagate(const Expr& a, const Expr& b) {
  return a.dtype() == DType::kInt64 ? max(a, b) : float_op(ExprOp::kFMax, {a, b});
}

Status infer(InferContext& c) { return infer_broadcast(c, TypeRule::kNumeric, DType::kUndefined, propagate); }

Status import(ImportContext& c) { return import_chain(c, op_Max); }

}  // namespace

const OpDef op_Max = {
    .info = {.name = "Max", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"Max"},
    .import = import,
};

}  // namespace fovea::core
