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

bool offers(const KernelRow& row, const Group& group, const LayoutChoice& layouts) {
  auto plain = [](Layout l) { return l == Layout::kPlain; };
  if (!row.layouts)
    return std::all_of(layouts.inputs.begin(), layouts.inputs.end(), plain) &&
           std::all_of(layouts.outputs.begin(), layouts.outputs.end(), plain);
  const auto choices = row.layouts(group);
  return std::any_of(choices.begin(), choices.end(),
                     [&](const LayoutChoice& c) { return c.inputs == layouts.inputs && c.outputs == layouts.outputs; });
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

PrepareContext describe_group(const Group& group, const Sizes& sizes, int threads, PackedWeights& weights) {
  PrepareContext context{group, {}, {}, threads, &weights};
  auto describe = [&](const Value* v) {
    TensorDesc d;
    if (!v) return d;
    d.dtype = v->dtype, d.shape = sizes.upper(v->shape), d.constant = v->constant;
    return d;
  };
  for (const Value* v : group.inputs) context.inputs.push_back(describe(v));
  for (const Value* v : group.outputs) context.outputs.push_back(describe(v));
  return context;
}

double rough_ms(const PrepareContext& context) {
  double bytes = 0, multiplications = 0, outputs = 0;
  auto count = [](const TensorDesc& d) { return static_cast<double>(element_count(d.shape).value_or(0)); };
  for (const TensorDesc& d : context.inputs) bytes += 4 * count(d);
  for (const TensorDesc& d : context.outputs) bytes += 4 * count(d), outputs += count(d);
  for (const TensorDesc& d : context.inputs)  // weights: each output element meets one filter
    if (d.constant && d.shape.size() >= 2 && d.shape[0] > 0)
      multiplications += outputs * count(d) / static_cast<double>(d.shape[0]);
  return 0.001 + bytes / 12e6 + multiplications / 60e6;
}

Recipe to_recipe(const Graph& graph, const SymbolValues& profile, const Assignment& assignment) {
  const auto positions = node_positions(graph);
  Recipe recipe{profile, {}};
  for (const GroupChoice& g : assignment.groups) {
    if (!g.row) continue;
    RecipeGroup r;
    for (const Node* n : g.group.nodes) r.nodes.push_back(positions.at(n));
    r.kernel = g.row->name, r.revision = g.row->revision, r.layouts = g.layouts, r.ms = g.ms;
    recipe.groups.push_back(std::move(r));
  }
  return recipe;
}

Result<Assignment> from_recipe(const Graph& graph, const Recipe& recipe) {
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
    const KernelRow* row = find_kernel(r->kernel);
    if (!row) return unsupported("kernel '{}' does not exist in this build", r->kernel);
    if (row->revision != r->revision)
      return unsupported("kernel '{}' is at revision {}, the recipe has {}", r->kernel, row->revision, r->revision);
    if ((row->features & cpu_features()) != row->features)
      return unsupported("kernel '{}' needs {}", r->kernel, cpu_features_string(row->features));
    std::optional<Group> group;
    if (nodes[i].second->is(row->op))
      for (Group& offered : row->match(*nodes[i].first, *nodes[i].second)) {
        bool same = offered.nodes.size() == r->nodes.size() && r->layouts.inputs.size() == offered.inputs.size() &&
                    r->layouts.outputs.size() == offered.outputs.size();
        for (size_t k = 0; same && k < r->nodes.size(); ++k) same = positions.at(offered.nodes[k]) == r->nodes[k];
        if (same && (!sizes_refusal(*row, offered).empty() || (row->refuse && !row->refuse(offered).empty()) ||
                     !offers(*row, offered, r->layouts)))
          continue;
        if (same) group = std::move(offered);
      }
    if (!group)
      return unsupported("kernel '{}' does not cover {} as the recipe has it", r->kernel, nodes[i].second->label());
    for (const Node* n : group->nodes)
      if (phases.of(*n) != Phase::kRun || !covered.insert(n).second)
        return unsupported("the recipe has {} twice, or where nothing runs", n->label());
    choices.emplace_back(r->nodes.back(), GroupChoice{*group, row, r->layouts, r->ms, {}});
  }
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node& n = *nodes[i].second;
    if (covered.contains(&n) || phases.of(n) != Phase::kRun || is_reshape(n) || !n.regions.empty()) continue;
    GroupChoice reference;
    reference.group = single_node_group(n);
    reference.layouts = {std::vector<Layout>(reference.group.inputs.size()),
                         std::vector<Layout>(reference.group.outputs.size())};
    choices.emplace_back(static_cast<int>(i), std::move(reference));
  }
  std::stable_sort(choices.begin(), choices.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Assignment assignment;
  for (auto& [position, choice] : choices) assignment.groups.push_back(std::move(choice));
  return assignment;
}

}  // namespace fovea::core
