#include "tactics/assignment.h"

#include <algorithm>

#include "base/cpu_features.h"

namespace fovea::core {
namespace {

void number(const Graph& graph, std::unordered_map<const Node*, int>& positions) {
  for (const auto& node : graph.nodes()) {
    positions.emplace(node.get(), static_cast<int>(positions.size()));
    for (const auto& region : node->regions) number(*region, positions);
  }
}

void collect(const Graph& graph, std::vector<std::pair<const Graph*, const Node*>>& out) {
  for (const auto& node : graph.nodes()) {
    out.emplace_back(&graph, node.get());
    for (const auto& region : node->regions) collect(*region, out);
  }
}

bool offers(const KernelRow& row, const Group& group, const FormatChoice& formats) {
  return std::ranges::count(formats_of(row, group), formats) > 0;
}

}  // namespace

std::string sizes_refusal(const KernelRow& row, const Group& group) {
  if (row.dynamic_shapes) return "";
  for (const auto* values : {&group.inputs, &group.outputs})
    for (const Value* v : *values)
      if (v && std::any_of(v->shape.begin(), v->shape.end(), [](const Dim& d) { return d.data_dependent(); }))
        return fmt::format("'{}' has a data-dependent size", v->name);
  return "";
}

std::unordered_map<const Node*, int> node_positions(const Graph& graph) {
  std::unordered_map<const Node*, int> positions;
  number(graph, positions);
  return positions;
}

PrepareContext describe_group(const Group& group, const FormatChoice& formats, const Sizes& sizes, int threads,
                              PackedWeights& weights, Device* device) {
  PrepareContext context{group, {}, {}, threads, &weights, device};
  auto describe = [&](const Value* v, const Format& format) {
    TensorDesc d;
    if (!v) return d;
    d.dtype = format.dtype(v->dtype), d.shape = sizes.upper(v->shape), d.layout = format.layout,
    d.constant = v->constant;
    return d;
  };
  for (size_t i = 0; i < group.inputs.size(); ++i)
    context.inputs.push_back(describe(group.inputs[i], formats.inputs[i]));
  for (size_t i = 0; i < group.outputs.size(); ++i)
    context.outputs.push_back(describe(group.outputs[i], formats.outputs[i]));
  for (const Node* n : group.nodes) context.results.push_back(n->output() ? sizes.upper(n->output()->shape) : Dims());
  return context;
}

double rough_ms(const PrepareContext& context) {
  double bytes = 0, multiplications = 0, outputs = 0;
  auto count = [](const TensorDesc& d) { return static_cast<double>(element_count(d.shape).value_or(0)); };
  auto size = [&](const TensorDesc& d) { return count(d) * dtype_bits(d.dtype) / 8; };
  for (const TensorDesc& d : context.inputs) bytes += size(d);
  for (const TensorDesc& d : context.outputs) bytes += size(d), outputs += count(d);
  for (const TensorDesc& d : context.inputs)  // weights: each output element meets one filter
    if (d.constant && d.shape.size() >= 2 && d.shape[0] > 0)
      multiplications += outputs * count(d) / static_cast<double>(d.shape[0]);
  if (context.device) return 0.004 + bytes / 2e9 + multiplications / 20e9;  // any GPU of today, within a few times
  return 0.001 + bytes / 12e6 + multiplications / 60e6;
}

Recipe to_recipe(const Graph& graph, const SymbolValues& profile, const Assignment& assignment) {
  const auto positions = node_positions(graph);
  Recipe recipe{profile, {}};
  for (const GroupChoice& g : assignment.groups) {
    if (!g.row) continue;
    RecipeGroup r;
    for (const Node* n : g.group.nodes) r.nodes.push_back(positions.at(n));
    r.kernel = g.row->name, r.revision = g.row->revision, r.formats = g.formats, r.variant = g.variant,
    r.ms = g.ms;
    recipe.groups.push_back(std::move(r));
  }
  return recipe;
}

Result<Assignment> from_recipe(const Graph& graph, const Recipe& recipe, const Device* device) {
  std::vector<std::pair<const Graph*, const Node*>> nodes;
  collect(graph, nodes);
  const Phases phases = find_phases(graph);
  std::vector<const RecipeGroup*> by_anchor(nodes.size(), nullptr);
  for (const RecipeGroup& r : recipe.groups) {
    if (r.nodes.empty() || r.nodes[0] < 0 || static_cast<size_t>(r.nodes[0]) >= nodes.size())
      return unsupported("the recipe names a node that the graph does not have");
    auto& anchored = by_anchor[static_cast<size_t>(r.nodes[0])];
    if (anchored) return unsupported("the recipe has {} twice", nodes[static_cast<size_t>(r.nodes[0])].second->label());
    anchored = &r;
  }
  const auto positions = node_positions(graph);
  std::vector<std::pair<int, GroupChoice>> choices;
  std::unordered_set<const Node*> covered;
  for (size_t i = 0; i < nodes.size(); ++i) {
    const RecipeGroup* r = by_anchor[i];
    if (!r) continue;
    const KernelRow* row = find_kernel(r->kernel, device);
    if (!row) return unsupported("kernel '{}' does not exist in this build", r->kernel);
    if (row->revision != r->revision)
      return unsupported("kernel '{}' is at revision {}, the recipe has {}", r->kernel, row->revision, r->revision);
    if (row->place == Place::kHost && (row->features & cpu_features()) != row->features)
      return unsupported("kernel '{}' needs {}", r->kernel, cpu_features_string(row->features));
    std::optional<Group> group;
    if (nodes[i].second->is(row->op))
      for (Group& offered : row->match(*nodes[i].first, *nodes[i].second)) {
        bool same = offered.nodes.size() == r->nodes.size() && r->formats.inputs.size() == offered.inputs.size() &&
                    r->formats.outputs.size() == offered.outputs.size();
        for (size_t k = 0; same && k < r->nodes.size(); ++k) same = positions.at(offered.nodes[k]) == r->nodes[k];
        if (same && (!sizes_refusal(*row, offered).empty() || (row->refuse && !row->refuse(offered).empty()) ||
                     !offers(*row, offered, r->formats)))
          continue;
        if (same) group = std::move(offered);
      }
    if (!group)
      return unsupported("kernel '{}' does not cover {} as the recipe has it", r->kernel, nodes[i].second->label());
    for (const Node* n : group->nodes)
      if (phases.of(*n) != Phase::kRun || !covered.insert(n).second)
        return unsupported("the recipe has {} twice, or where nothing runs", n->label());
    choices.emplace_back(r->nodes.back(), GroupChoice{*group, row, r->formats, r->variant, r->ms, {}, kAnyWorkspace});
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node& n = *nodes[i].second;
    if (covered.contains(&n) || phases.of(n) != Phase::kRun || is_reshape(n) || !n.regions.empty()) continue;
    GroupChoice reference;
    reference.group = single_node_group(n);
    reference.formats = all_plain(reference.group);
    choices.emplace_back(static_cast<int>(i), std::move(reference));
  }
  std::stable_sort(choices.begin(), choices.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Assignment assignment;
  for (auto& [position, choice] : choices) assignment.groups.push_back(std::move(choice));
  return assignment;
}

}  // namespace fovea::core
