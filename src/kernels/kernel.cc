#include "kernels/kernel.h"

namespace fovea::core {
FormatChoice all_plain(const Group& group, Place place) {
  return {std::vector<Format>(group.inputs.size(), {Layout::kPlain, place}),
          std::vector<Format>(group.outputs.size(), {Layout::kPlain, place})};
}

std::vector<FormatChoice> formats_of(const KernelRow& row, const Group& group) {
  return row.formats ? row.formats(group) : std::vector<FormatChoice>{all_plain(group, row.place)};
}

Group single_node_group(const Node& node) {
  Group group;
  group.nodes = {&node};
  group.inputs.assign(node.inputs.begin(), node.inputs.end());
  group.outputs.assign(node.outputs.begin(), node.outputs.end());
  return group;
}

std::vector<Group> match_node(const Graph&, const Node& anchor) { return {single_node_group(anchor)}; }

const Node* only_user(const Graph& graph, const Value* value) {
  if (!value || value->uses.size() != 1 || graph.is_output(value)) return nullptr;
  return value->uses.front().node;
}

}  // namespace fovea::core
