// What element-wise operators share: type rules, broadcasting and element-by-element propagation of known values.
#pragma once

#include "ops/op.h"

namespace fovea {

enum class TypeRule { kNumeric, kFloat, kBool, kIntegerOrBool, kAny };

// Output as input 0, type checked.
Status infer_unary(InferContext& c, TypeRule rule, Expr (*propagate)(const Expr&) = nullptr);
// Broadcast of all inputs (of one type); `result` is the output's type, kUndefined for the inputs' own.
Status infer_broadcast(InferContext& c, TypeRule rule, DType result = DType::kUndefined,
                       std::optional<Expr> (*propagate)(const Expr&, const Expr&) = nullptr);

template <TypeRule rule>
Status infer_unary_as(InferContext& c) {
  return infer_unary(c, rule);
}

}  // namespace fovea
