// Transposes meet and cancel.
//   Transpose(Transpose(x, p), q) == Transpose(x, p[q[i]])           and x where that is the identity
//   Transpose(f(Transpose(x, p)), q) == f(x)                         for element-wise f, where p[q[i]] == i
//   Transpose(g(Transpose(x, p), Transpose(y, p)), q) == g(x, y)     the same with two operands, or one and a number
#include "ops/transpose.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

using Perm = std::vector<int64_t>;

const Perm* perm_of(const Value* v) {
  return v->producer && v->producer->is("Transpose") ? &v->producer->as<TransposeAttrs>().perm : nullptr;
}
// First p, then q.
Perm compose(const Perm& p, const Perm& q) {
  Perm r;
  for (int64_t i : q) r.push_back(p[static_cast<size_t>(i)]);
  return r;
}
bool is_identity(const Perm& p) {
  for (size_t i = 0; i < p.size(); ++i)
    if (p[i] != static_cast<int64_t>(i)) return false;
  return true;
}

// Element by element, so that the order of the elements does not matter.
bool is_elementwise(const Node& node) {
  static constexpr std::string_view kNames[] = {"Abs",
                                                "Add",
                                                "And",
                                                "Cast",
                                                "Ceil",
                                                "Celu",
                                                "Clip",
                                                "Cos",
                                                "Div",
                                                "Elu",
                                                "Equal",
                                                "Erf",
                                                "Exp",
                                                "Floor",
                                                "Gelu",
                                                "Greater",
                                                "GreaterOrEqual",
                                                "HardSigmoid",
                                                "HardSwish",
                                                "LeakyRelu",
                                                "Less",
                                                "LessOrEqual",
                                                "Log",
                                                "Max",
                                                "Min",
                                                "Mish",
                                                "Mul",
                                                "Neg",
                                                "Not",
                                                "Or",
                                                "Pow",
                                                "Reciprocal",
                                                "Relu",
                                                "Round",
                                                "Selu",
                                                "Sigmoid",
                                                "Sign",
                                                "Sin",
                                                "Softplus",
                                                "Softsign",
                                                "Sqrt",
                                                "Sub",
                                                "Swish",
                                                "Tanh",
                                                "Where",
                                                "Xor"};
  return std::find(std::begin(kNames), std::end(kNames), node.op->name) != std::end(kNames);
}

// Can `v` be had in the order that q, applied to it, would give, without any transpose? Collects the nodes to change.
bool cancels(const Graph& g, const Value* v, const Perm& q, std::vector<Node*>& nodes, int depth) {
  constexpr int kDepth = 16;
  if (v->shape.empty() || (v->is_constant() && v->constant->count() == 1)) return true;
  if (const Perm* p = perm_of(v)) return is_identity(compose(*p, q));
  if (depth > kDepth || !v->producer || !is_elementwise(*v->producer) || !single_use(g, v) ||
      v->producer->outputs.size() != 1)
    return false;
  for (const Value* in : v->producer->inputs)
    if (in && (in->shape.size() != v->shape.size() && product(in->shape) != Dim(1))) return false;
  for (const Value* in : v->producer->inputs)
    if (in && !cancels(g, in, q, nodes, depth + 1)) return false;
  nodes.push_back(v->producer);
  return true;
}

Result<bool> cancel_through(Graph& g, Node& node, const Perm& q) {
  Value* x = node.inputs[0];
  std::vector<Node*> nodes;
  if (perm_of(x) || !x->producer || !cancels(g, x, q, nodes, 0) || nodes.empty()) return false;
  for (Node* n : nodes)
    for (size_t i = 0; i < n->inputs.size(); ++i)
      if (n->inputs[i] && perm_of(n->inputs[i])) g.set_input(n, i, n->inputs[i]->producer->inputs[0]);
  // Their values are the same numbers in another order now: names that meant the old order must not stay.
  for (Node* n : nodes)
    if (n != x->producer) g.rename(n->output(), n->output()->name + ".moved");
  for (Node* n : nodes) FOVEA_TRY(infer_node(g, *n));  // producers come first in it
  add_origin(*x->producer, node);
  replace(g, node.output(), x, true);
  return true;
}

Result<bool> simplify(Graph& g, Node& node) {
  if (!node.is("Transpose") || !g.used(node.output())) return false;
  const Perm q = node.as<TransposeAttrs>().perm;
  if (is_identity(q)) {
    replace(g, node.output(), node.inputs[0], false);
    return true;
  }
  const Perm* p = perm_of(node.inputs[0]);
  if (!p) return cancel_through(g, node, q);
  const Node& first = *node.inputs[0]->producer;
  const Perm both = compose(*p, q);
  Value* x = first.inputs[0];
  if (is_identity(both)) {
    replace(g, node.output(), x, false);
    return true;
  }
  FOVEA_TRY_SET(Value * fresh, insert(g, op_Transpose, make_attrs(TransposeAttrs{both}), {x}, node));
  add_origin(*fresh->producer, first);
  replace(g, node.output(), fresh, true);
  return true;
}

}  // namespace

Result<bool> simplify_transposes(Graph& graph, PassContext&) { return for_each_node(graph, simplify); }

}  // namespace fovea::core
