// Mod: a - q * b, the quotient q rounded down, or towards zero with fmod.
#include "ops/mod.h"

#include "ops/eltwise.h"

namespace fovea::core {
namespace {

bool perhaps_zero(const Expr& b) { return b.lo() <= 0 && b.hi() >= 0; }

std::optional<Expr> propagate_floor(const Expr& a, const Expr& b) {
  if (a.dtype() != DType::kInt64 || perhaps_zero(b)) return std::nullopt;
  return floor_mod(a, b);
}
std::optional<Expr> propagate_trunc(const Expr& a, const Expr& b) {
  if (a.dtype() != DType::kInt64 || perhaps_zero(b)) return std::nullopt;
  return a - trunc_div(a, b) * b;
}

Status infer(InferContext& c) {
  return infer_broadcast(c, TypeRule::kNumeric, DType::kUndefined,
                         c.attrs<ModAttrs>().fmod ? propagate_trunc : propagate_floor);
}

}  // namespace

const OpDef op_Mod = {
    .info = {.name = "Mod", .min_inputs = 2, .max_inputs = 2, .attrs = attrs_codec<ModAttrs>(), .infer = infer},
    .onnx = {"Mod"},
    .import = import_as_is<ModAttrs>,
};

}  // namespace fovea::core
