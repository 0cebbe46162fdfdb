// torchvision guards its batched NMS against an empty set of boxes; the network behind the guard gives nothing for
// nothing anyway, and an If costs a plan of its own and a look at the size in the middle of a run.
//   If(k == 0) { constant without elements } else { f(x) } == f(x)
// where f's result has a size that is 0 for k = 0, and every node of f takes inputs without elements.
#include <algorithm>
#include <unordered_set>

#include "passes/rewrite.h"
#include "patterns/patterns.h"

namespace fovea::core {
namespace {

// Operators that give a result of the inferred shape, and no error, whatever inputs are empty.
bool takes_nothing(const Node& node) {
  static constexpr std::string_view kNames[] = {"Add",     "Cast",      "Concat",    "Div",       "Equal", "Exp",
                                                "Expand",  "Greater",   "Less",      "Max",       "Min",   "Mul",
                                                "Nms",     "ReduceMax", "ReduceMin", "Reshape",   "Shape", "Slice",
                                                "Squeeze", "Sub",       "Transpose", "Unsqueeze", "Where"};
  return std::find(std::begin(kNames), std::end(kNames), node.op->name) != std::end(kNames);
}

// The data-dependent size k that a condition k == 0 asks for; k may have a positive factor.
SymbolPtr asked_for_zero(const Value* condition) {
  SymValuePtr known = fully_known(condition);
  if (!known || known->size() != 1 || (*known)[0]->op() != ExprOp::kEq) return nullptr;
  const auto sides = (*known)[0]->args();
  for (size_t i = 0; i < 2; ++i) {
    if (!sides[1 - i].is_const(0)) continue;
    const Expr& e = sides[i];
    if (e.op() == ExprOp::kSymbol) return e.symbol();
    if (e.op() != ExprOp::kProduct || e.args().size() != 2 || !e.args()[0].is_const() || e.args()[0].int_value() == 0)
      continue;
    if (e.args()[1].op() == ExprOp::kSymbol) return e.args()[1].symbol();
  }
  return nullptr;
}

// `d` with all of these 0.
Dim when_zero(const Dim& d, const std::unordered_set<std::string>& names) {
  return substitute(
      d, [&](const Symbol& symbol) { return names.contains(symbol.name) ? std::optional(Expr(0)) : std::nullopt; });
}

// Sizes that are 0 when `zero` is: itself, and those of the region that cannot exceed what is 0 then.
std::unordered_set<std::string> zero_with(const Symbol& zero, const Graph& region) {
  std::unordered_set<std::string> names = {zero.name};
  for (const auto& node : region.nodes())
    for (const SizeDefinition& s : node->sizes)
      if (s.symbol->lo >= 0 && when_zero(s.bound, names).is_const(0)) names.insert(s.symbol->name);
  return names;
}

bool same_when_zero(const Value* empty, const Value* computed, const std::unordered_set<std::string>& names) {
  if (!empty->constant || empty->constant->count() != 0 || empty->dtype != computed->dtype ||
      empty->shape.size() != computed->shape.size())
    return false;
  for (size_t d = 0; d < empty->shape.size(); ++d)
    if (!(when_zero(computed->shape[d], names) == empty->shape[d])) return false;
  return true;
}

Result<bool> drop(Graph& g, Node& node) {
  if (!node.is("If")) return false;
  SymbolPtr zero = asked_for_zero(node.inputs[0]);
  if (!zero || !zero->data_dependent) return false;
  const Graph& empty = *node.regions[0];
  Graph& full = *node.regions[1];
  for (const auto& n : full.nodes())
    if (!takes_nothing(*n)) return false;
  const auto names = zero_with(*zero, full);
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (!same_when_zero(empty.outputs[i], full.outputs[i], names)) return false;
  const std::vector<Value*> captures(node.inputs.begin() + node.own_inputs, node.inputs.end());
  const std::vector<Value*> results = g.inline_region(full, captures, &node);
  for (size_t i = 0; i < results.size(); ++i)
    if (node.outputs[i])
      replace(g, node.outputs[i], results[i],
              results[i]->producer && results[i]->uses.empty() && !g.is_output(results[i]));
  g.erase_node(&node);
  return true;
}

}  // namespace

Result<bool> drop_empty_guard(Graph& graph, PassContext&) { return for_each_node(graph, drop); }

}  // namespace fovea::core
