// Pow: x to the power of y with broadcasting, in x's type; y's may be another one.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  for (size_t i = 0; i < 2; ++i)
    FOVEA_TRY(c.expect_dtype(i, is_float(c.dtype(i)) || is_integer(c.dtype(i)), "a number type"));
  const Shape shapes[] = {c.shape(0), c.shape(1)};
  auto shape = broadcast_shapes(shapes);
  if (!shape.ok()) return c.error(shape.status().message());
  c.set_output(0, c.dtype(0), *shape);

  // Of the powers in size arithmetic the exponent is a small constant.
  SymValuePtr x = c.known(0), y = c.known(1);
  if (!x || !y || y->size() != 1 || !y->front() || !y->front()->is_const() || c.dtype(0) == DType::kInt32) return {};
  const double exponent = y->front()->float_value();
  auto power = [&](const Expr& e) -> std::optional<Expr> {
    if (e.dtype() != DType::kInt64) return float_op(ExprOp::kPow, {e, Expr::floating(e.dtype(), exponent)});
    if (exponent == 0) return Expr(1);
    if (exponent == 1) return e;
    if (exponent == 2) return e * e;
    return std::nullopt;
  };
  SymValue known;
  for (const auto& e : *x) known.push_back(e ? power(*e) : std::nullopt);
  if (*shape == c.shape(0)) c.set_known(0, std::move(known));
  return {};
}

}  // namespace

const OpDef op_Pow = {
    .info = {.name = "Pow", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"Pow"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
