#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status check_type(InferContext& c, size_t i, TypeRule rule) {
  DType t = c.dtype(i);
  switch (rule) {
    case TypeRule::kNumeric: return c.expect_dtype(i, is_float(t) || is_integer(t), "a number type");
    case TypeRule::kFloat: return c.expect_dtype(i, is_float(t), "a floating-point type");
    case TypeRule::kBool: return c.expect_dtype(i, t == DType::kBool, "bool");
    case TypeRule::kIntegerOrBool:
      return c.expect_dtype(i, is_integer(t) || t == DType::kBool, "an integer type or bool");
    case TypeRule::kInteger: return c.expect_dtype(i, is_integer(t), "an integer type");
    case TypeRule::kNumericOrBool:
      return c.expect_dtype(i, is_float(t) || is_integer(t) || t == DType::kBool, "a number type or bool");
    case TypeRule::kAny: return {};
  }
  return {};
}

// Index into an operand of constant shape `from`, for the i-th element of its broadcast to `to`.
size_t broadcast_index(int64_t i, const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  int64_t index = 0, stride = 1;
  for (size_t k = 0; k < to.size(); ++k) {
    size_t axis = to.size() - 1 - k;
    int64_t position = i % to[axis];
    i /= to[axis];
    if (k >= from.size()) continue;
    int64_t size = from[from.size() - 1 - k];
    if (size != 1) index += position * stride;
    stride *= size;
  }
  return static_cast<size_t>(index);
}

}  // namespace

Status infer_unary(InferContext& c, TypeRule rule, Expr (*propagate)(const Expr&)) {
  FOVEA_TRY(check_type(c, 0, rule));
  c.set_output(0, c.dtype(0), c.shape(0));
  SymValuePtr known = propagate ? c.known(0) : nullptr;
  if (!known || c.dtype(0) == DType::kInt32) return {};  // int32 arithmetic may wrap: not propagated
  SymValue out;
  for (const auto& e : *known) out.push_back(e ? std::optional(propagate(*e)) : std::nullopt);
  c.set_known(0, std::move(out));
  return {};
}

Status infer_broadcast(InferContext& c, TypeRule rule, DType result,
                       std::optional<Expr> (*propagate)(const Expr&, const Expr&)) {
  std::vector<Shape> shapes;
  for (size_t i = 0; i < c.input_count(); ++i) {
    FOVEA_TRY(check_type(c, i, rule));
    FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
    shapes.push_back(c.shape(i));
  }
  auto shape = broadcast_shapes(shapes);
  if (!shape.ok()) return c.error(shape.status().message());
  c.set_output(0, result == DType::kUndefined ? c.dtype(0) : result, *shape);

  auto to = constant_shape(*shape);
  if (!propagate || !to || c.dtype(0) == DType::kInt32) return {};
  auto count = element_count(*to);
  if (!count || *count > kMaxSymElements) return {};
  std::vector<SymValuePtr> known;
  std::vector<std::vector<int64_t>> from;
  for (size_t i = 0; i < c.input_count(); ++i) {
    auto s = constant_shape(c.shape(i));
    known.push_back(c.known(i));
    if (!known.back() || !s) return {};
    from.push_back(*s);
  }
  SymValue out;
  for (int64_t i = 0; i < *count; ++i) {
    std::optional<Expr> e = (*known[0])[broadcast_index(i, from[0], *to)];
    for (size_t k = 1; e && k < known.size(); ++k) {
      const auto& other = (*known[k])[broadcast_index(i, from[k], *to)];
      e = other ? propagate(*e, *other) : std::nullopt;
    }
    out.push_back(std::move(e));
  }
  c.set_known(0, std::move(out));
  return {};
}

Status import_chain(ImportContext& c, const OpDef& op) {
  if (!c.input(0)) return c.error("expected at least one input, found none");
  Value* value = c.input(0);
  for (size_t i = 1; i < c.input_count(); ++i) {
    FOVEA_TRY_SET(Node * node, c.emit(op, nullptr, {value, c.input(i)}));
    value = node->output();
  }
  c.set_output(0, value);
  return {};
}

}  // namespace fovea::core
