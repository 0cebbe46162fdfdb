// Control flow that is decided: constants sink into branches, and an If whose condition is known is one of its
// branches.
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

std::optional<bool> decided(const Value* condition) {
  if (condition->constant) {
    const auto v = condition->constant->to_ints();
    return v.size() == 1 ? std::optional(v[0] != 0) : std::nullopt;
  }
  SymValuePtr known = fully_known(condition);
  if (!known || known->size() != 1 || !(*known)[0]->is_const()) return std::nullopt;
  return (*known)[0]->int_value() != 0;
}

// If(true; captures) {then} {else}  ->  then(captures)
Result<bool> inline_if(Graph& g, Node& node) {
  if (!node.is("If")) return false;
  auto taken = decided(node.inputs[0]);
  if (!taken) return false;
  const std::vector<Value*> captures(node.inputs.begin() + node.own_inputs, node.inputs.end());
  const std::vector<Value*> results = g.inline_region(*node.regions[*taken ? 0 : 1], captures, &node);
  for (size_t i = 0; i < results.size(); ++i)
    if (node.outputs[i])
      replace(g, node.outputs[i], results[i],
              results[i]->producer && results[i]->uses.empty() && !g.is_output(results[i]));
  g.erase_node(&node);
  return true;
}

// A branch reads a constant of the graph around it through a capture: it may as well have the constant.
Result<bool> sink(Graph& g, Node& node) {
  if (node.regions.empty()) return false;
  bool changed = false;
  for (size_t i = static_cast<size_t>(node.own_inputs); i < node.inputs.size(); ++i) {
    if (!node.inputs[i]->is_constant()) continue;
    const size_t from_end = node.inputs.size() - i;
    for (const auto& region : node.regions) {
      Value* inner = region->inputs[region->inputs.size() - from_end];
      if (!region->used(inner)) continue;
      region->replace_uses(inner, region->add_constant(node.inputs[i]->constant, node.inputs[i]->name));
      changed = true;
    }
  }
  (void)g;
  return changed;
}

}  // namespace

Result<bool> inline_branches(Graph& graph, PassContext&) { return for_each_node(graph, inline_if); }
Result<bool> sink_constants(Graph& graph, PassContext&) { return for_each_node(graph, sink); }

}  // namespace fovea::core
