#include "kernels/tail.h"

#include <algorithm>

namespace fovea::core {

// The other operand of a node that adds a constant row (one number for each element of the last axis) to `value`.
const Value* added_row(const Node& node, const Value* value) {
  if (!node.is("Add") || value->shape.empty()) return nullptr;
  const Value* other = node.input(0) == value ? node.input(1) : node.input(0);
  if (!other->constant || other->dtype != value->dtype || other->shape.empty()) return nullptr;
  const bool row = other->shape.back() == value->shape.back() && value->shape.back().is_const(other->constant->count());
  return row ? other : nullptr;
}

namespace {

// The other operand of an Add to `value`, if it may be added in place: same type and shape, not a constant.
const Value* residual_of(const Node& add, const Value* value) {
  const Value* other = add.input(0) == value ? add.input(1) : add.input(0);
  if (other == value || other->is_constant() || other->dtype != value->dtype || other->shape != value->shape)
    return nullptr;
  return other;
}

}  // namespace

std::vector<Group> match_with_tail(const Graph& graph, const Node& anchor, const Tail& tail) {
  Group group = single_node_group(anchor);
  group.inputs.resize(tail.inputs, nullptr);
  std::vector<Group> groups = {group};
  bool activated = false;  // since the last Add
  while (const Node* next = only_user(graph, group.outputs[0])) {
    const Value* value = group.outputs[0];
    if (next->output()->shape != value->shape) break;
    if (const Value* row = tail.bias >= 0 && groups.size() == 1 ? added_row(*next, value) : nullptr;
        row && !group.inputs[static_cast<size_t>(tail.bias)]) {
      group.inputs[static_cast<size_t>(tail.bias)] = row;
    } else if (next->is("Add")) {
      const Value* other = tail.residual && group.residual < 0 ? residual_of(*next, value) : nullptr;
      if (!other) break;
      group.residual = static_cast<int>(group.inputs.size());
      group.inputs.push_back(other);
      activated = false;
    } else {
      if (activated || next->input(0) != value || !tail.activation(*next)) break;
      activated = true;
    }
    group.nodes.push_back(next);
    group.outputs = {next->output()};
    groups.push_back(group);
  }
  std::reverse(groups.begin(), groups.end());
  return groups;
}

}  // namespace fovea::core
