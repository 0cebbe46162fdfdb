// Clip: min(max(x, low), high), either bound optional; NaN stays NaN. Before ONNX 11 the bounds are attributes.
#include "ops/eltwise.h"
#include "ops/tensors.h"

namespace fovea::core {
namespace {

Status check_bound(InferContext& c, size_t i) {
  FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  const Dim count = product(c.shape(i));
  if (count.is_const() && !count.is_const(1))
    return c.error(fmt::format("input {}: expected one number, found shape {}", i, to_string(c.shape(i))));
  return {};
}

Expr bounded(const Expr& x, const std::optional<Expr>& low, const std::optional<Expr>& high) {
  const bool integer = x.dtype() == DType::kInt64;
  Expr y = x;
  if (low) y = integer ? max(y, *low) : float_op(ExprOp::kFMax, {y, *low});
  if (high) y = integer ? min(y, *high) : float_op(ExprOp::kFMin, {y, *high});
  return y;
}

Status infer(InferContext& c) {
  FOVEA_TRY(infer_unary(c, TypeRule::kNumeric));
  SymValuePtr x = c.known(0);
  bool all_known = x && c.dtype(0) != DType::kInt32;
  std::optional<Expr> bounds[2];
  for (size_t i = 1; i <= 2; ++i) {
    if (!c.has(i)) continue;
    FOVEA_TRY(check_bound(c, i));
    SymValuePtr b = c.known(i);
    if (b && b->size() == 1 && b->front()) bounds[i - 1] = b->front();
    else all_known = false;
  }
  if (!all_known) return {};
  SymValue known;
  for (const auto& e : *x) known.push_back(e ? std::optional(bounded(*e, bounds[0], bounds[1])) : std::nullopt);
  c.set_known(0, std::move(known));
  return {};
}

Status import(ImportContext& c) {
  if (c.opset() >= 11) return import_without_attributes(c);
  if (!c.input(0)) return c.error("input 0 is missing");
  Value* bounds[2] = {};
  const char* names[2] = {"min", "max"};
  for (int i = 0; i < 2; ++i) {
    if (!c.has(names[i])) continue;
    TensorPtr bound = scalar_tensor(c.input(0)->dtype, c.float_attr(names[i], 0));
    if (!bound) return c.unsupported(fmt::format("input of {}", to_string(c.input(0)->dtype)));
    bounds[i] = c.constant(bound);
  }
  FOVEA_TRY_SET(Node * node, c.emit(nullptr, {c.input(0), bounds[0], bounds[1]}));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

const OpDef op_Clip = {
    .info = {.name = "Clip", .min_inputs = 1, .max_inputs = 3, .infer = infer},
    .onnx = {"Clip"},
    .import = import,
};

}  // namespace fovea::core
