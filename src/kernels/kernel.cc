#include "kernels/kernel.h"

#include <array>

namespace fovea::core {
namespace {

constexpr std::array<std::string_view, kLayouts> kLayoutNames = {"plain", "nhwc", "c8", "c16"};

}  // namespace

std::string_view to_string(Layout layout) { return kLayoutNames[static_cast<size_t>(layout)]; }

std::optional<Layout> layout_from_string(std::string_view name) {
  for (size_t i = 0; i < kLayoutNames.size(); ++i)
    if (kLayoutNames[i] == name) return static_cast<Layout>(i);
  return std::nullopt;
}

int64_t storage_elements(Layout layout, std::span<const int64_t> shape) {
  const int64_t block = layout == Layout::kC8 ? 8 : layout == Layout::kC16 ? 16 : 1;
  int64_t n = 1;
  for (size_t i = 0; i < shape.size(); ++i) n *= i == 1 ? (shape[i] + block - 1) / block * block : shape[i];
  return n;
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
