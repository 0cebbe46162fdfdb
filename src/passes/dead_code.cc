// Removes nodes whose outputs nobody uses, outputs that are optional and unused, captures that no branch reads, and
// constants without a reader.
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

// %a, %unused = MaxPool(%x)  ->  %a = MaxPool(%x)
bool drop_optional_outputs(Graph& g, Node& node) {
  bool changed = false;
  while (static_cast<int>(node.outputs.size()) > node.op->min_outputs && node.regions.empty()) {
    // Split's outputs are all of one kind: their number is part of what it does.
    if (node.op->max_outputs > 8) break;
    const Value* last = node.outputs.back();
    if (last && g.used(last)) break;
    g.erase_output(&node);
    changed = true;
  }
  return changed;
}

bool drop_captures(Graph& g, Node& node) {
  if (node.regions.empty()) return false;
  bool changed = false;
  const auto own = static_cast<size_t>(node.own_inputs);
  for (size_t i = node.inputs.size(); i-- > own;) {
    const size_t from_end = node.inputs.size() - i;
    bool used = false;
    for (const auto& region : node.regions) used |= region->used(region->inputs[region->inputs.size() - from_end]);
    if (used) continue;
    for (const auto& region : node.regions) region->erase_input(region->inputs.size() - from_end);
    g.remove_node_input(&node, i);
    changed = true;
  }
  return changed;
}

Result<bool> remove_dead_of(Graph& g) {
  bool changed = false;
  for (auto it = g.nodes().end(); it != g.nodes().begin();) {
    Node& node = **--it;
    bool used = !node.op->pure;
    for (const Value* v : node.outputs) used |= v && g.used(v);
    if (used) {
      changed |= drop_optional_outputs(g, node) | drop_captures(g, node);
      continue;
    }
    ++it;
    g.erase_node(&node);
    changed = true;
  }
  changed |= g.erase_unused_constants();
  return changed;
}

}  // namespace

Result<bool> remove_dead(Graph& graph, PassContext&) { return for_each_graph(graph, remove_dead_of); }

}  // namespace fovea::core
