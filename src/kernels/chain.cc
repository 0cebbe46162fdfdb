#include "kernels/chain.h"

#include <algorithm>

namespace fovea::core {
namespace {

// Will a convolution or product want to take the node that uses `v` alone?
bool wanted_by_product(const Graph& graph, const Value* v, const ChainRules& rules) {
  for (int depth = 0; depth < 4 && v && v->producer && only_user(graph, v); ++depth) {
    const Node& n = *v->producer;
    if (n.is("Conv") || n.is("ConvTranspose") || n.is("Gemm") || n.is("MatMul")) return true;
    if (!rules.is_link(n)) return false;
    v = n.input(0);
  }
  return false;
}

}  // namespace

bool is_scalar(const Value& value) {
  return std::ranges::all_of(value.shape, [](const Dim& d) { return d.is_const(1); });
}

void grow_chain(const Graph& graph, const ChainRules& rules, std::vector<Group>& groups) {
  Group group = groups.back();
  while (const Node* next = group.nodes.size() < rules.most_nodes ? only_user(graph, group.outputs[0]) : nullptr) {
    const Value* value = group.outputs[0];
    if (!rules.fits(*next, value) || next->output()->shape != value->shape) break;
    bool wanted = false;
    for (const Value* v : next->inputs) {
      if (!v || v == value) continue;
      wanted |= rules.is_binary(*next) && wanted_by_product(graph, v, rules);
      group.inputs.push_back(v);
    }
    if (wanted || !rules.within_limits(group)) break;
    group.nodes.push_back(next);
    group.outputs = {next->output()};
    groups.push_back(group);
  }
}

std::vector<Group> match_chain(const Graph& graph, const Node& anchor, const ChainRules& rules) {
  if (!rules.fits(anchor, nullptr)) return {};
  std::vector<Group> groups = {single_node_group(anchor)};
  grow_chain(graph, rules, groups);
  std::ranges::reverse(groups);
  return groups;
}

}  // namespace fovea::core
