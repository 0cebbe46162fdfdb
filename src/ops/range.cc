// Range: start, start + delta, ... before limit. Element i is start + i * delta.
#include "ops/layout.h"

namespace fovea::core {
namespace {

// max(ceil((limit - start) / delta), 0), or nullopt where delta's sign is not known. Floats: the subtraction in their
// own type, the division in float64, as the kernel does.
std::optional<Dim> length(const Expr& start, const Expr& limit, const Expr& delta) {
  if (delta.dtype() == DType::kInt64) {
    if (delta.lo() > 0) return max(ceil_div(limit - start, delta), 0);
    if (delta.hi() < 0) return max(ceil_div(start - limit, Expr(0) - delta), 0);
    return std::nullopt;
  }
  Expr span = cast(float_op(ExprOp::kSub, {limit, start}), DType::kFloat64);
  Expr steps = float_op(ExprOp::kCeil, {float_op(ExprOp::kDiv, {span, cast(delta, DType::kFloat64)})});
  return max(cast(steps, DType::kInt64), 0);
}

std::optional<Expr> element(int64_t i, const Expr& start, const Expr& delta) {
  if (delta.dtype() == DType::kInt64) return start + Expr(i) * delta;
  return float_op(ExprOp::kAdd,
                  {start, float_op(ExprOp::kMul, {Expr::floating(delta.dtype(), static_cast<double>(i)), delta})});
}

bool range_type(DType t) {
  return t == DType::kInt16 || t == DType::kInt32 || t == DType::kInt64 || t == DType::kFloat32 ||
         t == DType::kFloat64 || t == DType::kFloat16 || t == DType::kBFloat16;
}

Status infer(InferContext& c) {
  std::optional<Expr> given[3];
  for (size_t i = 0; i < 3; ++i) {
    FOVEA_TRY(c.expect_dtype(i, range_type(c.dtype(i)), "int16, int32, int64 or a floating-point type"));
    FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
    if (!product(c.shape(i)).is_const(1))
      return c.error(fmt::format("input {}: expected one number, found shape {}", i, to_string(c.shape(i))));
    if (SymValuePtr k = c.known(i)) given[i] = (*k)[0];
  }
  const auto& [start, limit, delta] = given;
  if (delta && delta->is_const() && delta->float_value() == 0) return c.error("delta is 0");
  std::optional<Dim> size = start && limit && delta ? length(*start, *limit, *delta) : std::nullopt;
  c.set_output(0, c.dtype(0), {size ? *size : c.data_dependent_size(0, 0, 0, kUnbounded)});
  if (start && delta)  // integers lie between start and limit: nothing wraps
    propagate(c, 0, [&](std::span<const int64_t> at) { return element(at[0], *start, *delta); });
  return {};
}

Status import(ImportContext& c) {
  // float16 and bfloat16 are computed in float32 here anyway, which is the only stash_type that matters.
  FOVEA_TRY(only_attributes(c, {"stash_type"}));
  return emit_one(c, op_Range, nullptr, c.node().inputs);
}

}  // namespace

const OpDef op_Range = {
    .info = {.name = "Range", .min_inputs = 3, .max_inputs = 3, .infer = infer, .reads_values = true},
    .onnx = {"Range"},
    .import = import,
};

}  // namespace fovea::core
