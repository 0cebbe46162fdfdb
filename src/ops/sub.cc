// Sub: a - b with broadcasting; integers wrap.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

std::optional<Expr> propagate(const Expr& a, const Expr& b) {
  return a.dtype() == DType::kInt64 ? a - b : float_op(ExprOp::kSub, {a, b});
}

Status infer(InferContext& c) { return infer_broadcast(c, TypeRule::kNumeric, DType::kUndefined, propagate); }

}  // namespace

const OpDef op_Sub = {
    .info = {.name = "Sub", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"Sub"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
