// Removes nodes whose result is one of their inputs. Only what is exact: x + 0 is not, for x = -0.
//   Cast(x, to = its type) == x                     Cast(Cast(x)) == Cast(x) where the inner one loses nothing
//   Reshape, Expand, Tile, Squeeze, ... (x) == x    where the shape stays the same; Slice too, with positive steps
//   Concat(x) == Max(x) == Min(x) == x              Not(Not(x)) == x
//   x * 1 == x / 1 == x - 0 == x + (-0.0) == x ^ 1 == x      and x + 0 for integers
//   Where(true, x, y) == x, Where(false, x, y) == y, Where(c, x, x) == x    where the shape is the result's
//   And(x, true) == Or(x, false) == x
#include <algorithm>
#include <cmath>

#include "ops/cast.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

template <size_t N>
bool is_one_of(const Node& node, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), node.op->name) != std::end(names);
}

bool all_positive(const Value* steps) {
  if (!steps) return true;
  auto v = constant_ints(steps);
  return v && std::all_of(v->begin(), v->end(), [](int64_t s) { return s > 0; });
}

// Operators that keep the order of elements: with the same shape on both sides they do nothing.
bool moves_nothing(const Node& node) {
  constexpr std::string_view kViews[] = {"Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze"};
  if (is_one_of(node, kViews)) return true;
  if (node.is("Slice")) return all_positive(node.input(4));
  return node.is("Split") && node.outputs.size() == 1;
}

// Is v the number `wanted` everywhere, to the sign of zero?
bool is_number(const Value* v, double wanted) {
  auto u = uniform(v);
  return u && *u == wanted && std::signbit(*u) == std::signbit(wanted);
}

Value* neutral_arithmetic(const Node& node) {
  Value *x = node.input(0), *y = node.input(1);
  if (!y) return nullptr;
  const bool integer = is_integer(x->dtype);
  if (node.is("Mul")) return is_number(y, 1) ? x : is_number(x, 1) ? y : nullptr;
  if (node.is("Add")) {
    const double zero = integer ? 0.0 : -0.0;
    return is_number(y, zero) ? x : is_number(x, zero) ? y : nullptr;
  }
  if (node.is("Div") || node.is("Pow")) return is_number(y, 1) ? x : nullptr;
  if (node.is("Sub")) return is_number(y, 0) ? x : nullptr;
  if (node.is("And")) return is_number(y, 1) ? x : is_number(x, 1) ? y : nullptr;
  if (node.is("Or")) return is_number(y, 0) ? x : is_number(x, 0) ? y : nullptr;
  return nullptr;
}

Value* settled_where(const Node& node) {
  if (!node.is("Where")) return nullptr;
  if (node.inputs[1] == node.inputs[2]) return node.inputs[1];
  auto condition = uniform(node.inputs[0]);
  return condition ? node.inputs[*condition != 0 ? 1 : 2] : nullptr;
}

// Does `to` hold every value of `from`?
bool holds_all_of(DType to, DType from) {
  if (from == DType::kBool) return is_integer(to) || is_float(to);
  if (is_integer(from) && is_integer(to)) {
    const bool from_signed =
        from == DType::kInt8 || from == DType::kInt16 || from == DType::kInt32 || from == DType::kInt64;
    const bool to_signed = to == DType::kInt8 || to == DType::kInt16 || to == DType::kInt32 || to == DType::kInt64;
    if (dtype_bits(from) < 8 || dtype_bits(to) < 8) return false;
    return dtype_bits(to) > dtype_bits(from) && (to_signed || !from_signed);
  }
  if (from == DType::kFloat16 || from == DType::kBFloat16) return to == DType::kFloat32 || to == DType::kFloat64;
  return from == DType::kFloat32 && to == DType::kFloat64;
}

// The value that the node's result equals, or null.
Value* same_as(const Node& node) {
  Value* x = node.input(0);
  if (!x) return nullptr;
  constexpr std::string_view kAnyNumber[] = {"Concat", "Max", "Min"};
  if (moves_nothing(node)) return x;
  if (node.is("Cast")) return x;  // the type is compared below
  if (is_one_of(node, kAnyNumber) && node.inputs.size() == 1) return x;
  if (node.is("Clip") && !node.input(1) && !node.input(2)) return x;
  if (node.is("Not") && x->producer && x->producer->is("Not")) return x->producer->input(0);
  if (Value* v = neutral_arithmetic(node)) return v;
  return settled_where(node);
}

bool shorten_casts(Graph& g, Node& node) {
  const Node* inner = node.is("Cast") ? node.inputs[0]->producer : nullptr;
  if (!inner || !inner->is("Cast") || !holds_all_of(node.inputs[0]->dtype, inner->inputs[0]->dtype)) return false;
  g.set_input(&node, 0, inner->inputs[0]);
  return true;
}

Result<bool> remove_no_op(Graph& g, Node& node) {
  bool changed = shorten_casts(g, node);
  Value* out = node.output();
  if (!out || !g.used(out) || !node.op->pure) return changed;
  Value* x = same_as(node);
  if (!x || x->dtype != out->dtype || !same_shape(x, out)) return changed;
  if (x->producer) add_origin(*x->producer, node);
  replace(g, out, x, false);
  return true;
}

}  // namespace

Result<bool> remove_no_ops(Graph& graph, PassContext&) { return for_each_node(graph, remove_no_op); }

}  // namespace fovea::core
