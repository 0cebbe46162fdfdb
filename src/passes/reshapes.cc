// One view where the exporter wrote several, to a shape that is a constant: then the Shape, Gather and Concat nodes
// that computed it die.
//   Reshape(Squeeze(Unsqueeze(Reshape(x)))) == Reshape(x, [-1, 4, 5776])
//   Expand(x, [n, 1, 4]) == Expand(x, [1, 1, 4])    where x has n there already
// In a constant shape -1 stands for one size that is no number, and 0 for one that x has at the same place.
#include "ops/axes.h"
#include "ops/reshape.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

bool is_view(const Node* node) { return node && (node->is("Reshape") || node->is("Squeeze") || node->is("Unsqueeze")); }

// The constant that reshapes `from` to `to`, or nullopt if there is none that surely does.
std::optional<std::vector<int64_t>> constant_target(const Shape& from, const Shape& to, bool& allowzero) {
  allowzero = false;
  std::vector<int64_t> target;
  std::vector<size_t> open;  // places of sizes that are no numbers
  Dim rest = 1;
  for (size_t i = 0; i < to.size(); ++i) {
    if (to[i].is_const()) rest = rest * to[i], allowzero |= to[i].is_const(0);
    else open.push_back(i);
    target.push_back(to[i].constant().value_or(-1));
  }
  if (open.empty()) return target;
  if (allowzero) return std::nullopt;
  const Dim total = product(from);
  if (open.size() == 1 && floor_div(total, rest) == to[open[0]]) return target;
  // Those that x has at the same place are copied; one may still be left over.
  std::vector<size_t> left;
  for (size_t i : open) {
    if (i < from.size() && from[i] == to[i]) target[i] = 0, rest = rest * to[i];
    else left.push_back(i);
  }
  if (left.empty()) return target;
  if (left.size() == 1 && rest.lo() > 0 && floor_div(total, rest) == to[left[0]]) return target;
  return std::nullopt;
}

// Where the elements come from, past all views.
Value* source_of(Value* v) {
  while (is_view(v->producer)) v = v->producer->inputs[0];
  return v;
}

Result<bool> reshape_from(Graph& g, Node& node, Value* x) {
  bool allowzero = false;
  auto target = constant_target(x->shape, node.output()->shape, allowzero);
  if (!target) return false;
  if (node.is("Reshape") && node.inputs[0] == x && constant_ints(node.inputs[1]) == target) return false;
  FOVEA_TRY_SET(Value * fresh,
                insert(g, op_Reshape, make_attrs(ReshapeAttrs{allowzero}), {x, int64_constant(g, *target)}, node));
  for (const Node* n = node.inputs[0]->producer; is_view(n) && node.inputs[0] != x; n = n->inputs[0]->producer) {
    add_origin(*fresh->producer, *n);
    if (n->inputs[0] == x) break;
  }
  replace(g, node.output(), fresh, true);
  return true;
}

Result<bool> simplify_view(Graph& g, Node& node) {
  Value* out = node.output();
  if (!is_view(&node) || !g.used(out) || !node.sizes.empty()) return false;
  Value* x = source_of(node.inputs[0]);
  if (same_shape(x, out)) {
    replace(g, out, x, false);
    return true;
  }
  const bool chain = x != node.inputs[0];
  if (!chain && !node.is("Reshape")) return false;  // one Squeeze or Unsqueeze says what it does best
  if (!chain && node.inputs[1]->is_constant()) return false;
  FOVEA_TRY_SET(bool done, reshape_from(g, node, x));
  if (done || !chain || !node.is("Reshape") || node.inputs[1]->is_constant()) return done;
  return reshape_from(g, node, node.inputs[0]);
}

// 1 wherever the input has the size already.
Result<bool> simplify_expand(Graph& g, Node& node) {
  Value* out = node.output();
  if (!node.is("Expand") || !g.used(out) || !node.sizes.empty() || node.inputs[1]->is_constant()) return false;
  const Shape &from = node.inputs[0]->shape, &to = out->shape;
  std::vector<int64_t> target;
  for (size_t i = 0; i < to.size(); ++i) {
    const size_t skipped = to.size() - from.size();
    if (i >= skipped && from[i - skipped] == to[i]) target.push_back(1);
    else if (to[i].is_const()) target.push_back(to[i].int_value());
    else return false;
  }
  g.set_input(&node, 1, int64_constant(g, target));
  return true;
}

Result<bool> simplify(Graph& g, Node& node) {
  FOVEA_TRY_SET(bool view, simplify_view(g, node));
  FOVEA_TRY_SET(bool expand, simplify_expand(g, node));
  return view || expand;
}

}  // namespace

Result<bool> simplify_reshapes(Graph& graph, PassContext&) { return for_each_node(graph, simplify); }

}  // namespace fovea::core
