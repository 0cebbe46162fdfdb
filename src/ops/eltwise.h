// What element-wise operators share: type rules, broadcasting and element-by-element propagation of known values.
#pragma once

#include "ops/op.h"

namespace fovea::core {

enum class TypeRule { kNumeric, kFloat, kBool, kIntegerOrBool, kAny, kInteger, kNumericOrBool };

// Output as input 0, type checked.
Status infer_unary(InferContext& c, TypeRule rule, Expr (*propagate)(const Expr&) = nullptr);
// Broadcast of all inputs (of one type); `result` is the output's type, kUndefined for the inputs' own.
Status infer_broadcast(InferContext& c, TypeRule rule, DType result = DType::kUndefined,
                       std::optional<Expr> (*propagate)(const Expr&, const Expr&) = nullptr);

template <TypeRule rule>
Status infer_unary_as(InferContext& c) {
  return infer_unary(c, rule);
}
// A function of floating-point numbers that sizes are computed with: its expression is `op`.
template <ExprOp op>
Status infer_float_op(InferContext& c) {
  return infer_unary(c, TypeRule::kFloat, [](const Expr& x) { return float_op(op, {x}); });
}
// An ONNX operator with any number of inputs, as a chain of the binary `op`; one input is itself.
Status import_chain(ImportContext& c, const OpDef& op);

}  // namespace fovea::core
