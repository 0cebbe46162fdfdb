#include "passes/rewrite.h"

#include <algorithm>

namespace fovea::core {

Result<bool> for_each_graph(Graph& graph, const std::function<Result<bool>(Graph&)>& rewrite) {
  bool changed = false;
  for (const auto& node : graph.nodes())
    for (const auto& region : node->regions) {
      FOVEA_TRY_SET(bool inner, for_each_graph(*region, rewrite));
      changed |= inner;
    }
  FOVEA_TRY_SET(bool here, rewrite(graph));
  return changed || here;
}

Result<bool> for_each_node(Graph& graph, const std::function<Result<bool>(Graph&, Node&)>& rewrite) {
  return for_each_graph(graph, [&](Graph& g) -> Result<bool> {
    bool changed = false;
    for (auto it = g.nodes().begin(); it != g.nodes().end();) {
      Node& node = **it++;
      FOVEA_TRY_SET(bool here, rewrite(g, node));
      changed |= here;
    }
    return changed;
  });
}

Result<Value*> insert(Graph& graph, const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs, Node& before) {
  Node* node = graph.add_node(&op.info, std::move(attrs), std::move(inputs), 1, &before);
  node->origin = before.origin;
  FOVEA_TRY(infer_node(graph, *node));
  return node->output();
}

Value* int64_constant(Graph& graph, std::span<const int64_t> values) {
  return graph.add_constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

void replace(Graph& graph, Value* old, Value* fresh, bool is_new) {
  graph.replace_uses(old, fresh);
  if (!is_new) return;
  const std::string name = old->name;
  graph.rename(old, name + ".replaced");
  graph.rename(fresh, name);
}

void add_origin(Node& to, const Node& node) {
  for (const std::string& name : node.origin)
    if (std::find(to.origin.begin(), to.origin.end(), name) == to.origin.end()) to.origin.push_back(name);
}

bool single_use(const Graph& graph, const Value* value) { return value->uses.size() == 1 && !graph.is_output(value); }

bool same_shape(const Value* a, const Value* b) { return a->shape == b->shape; }

std::optional<double> uniform(const Value* value) {
  if (!value || !value->constant || value->constant->count() == 0) return std::nullopt;
  constexpr int64_t kMost = 1 << 16;  // nobody writes a larger constant of one number
  if (value->constant->count() > kMost) return std::nullopt;
  const std::vector<double> all = value->constant->to_doubles();
  if (all.empty()) return std::nullopt;
  for (double v : all)
    if (std::bit_cast<uint64_t>(v) != std::bit_cast<uint64_t>(all[0])) return std::nullopt;
  return all[0];
}

std::optional<std::vector<int64_t>> constant_ints(const Value* value) {
  if (!value || !value->constant || !is_integer(value->dtype)) return std::nullopt;
  return value->constant->to_ints();
}

SymValuePtr fully_known(const Value* value) {
  if (!value || value->is_constant() || !value->known) return nullptr;
  for (const auto& e : *value->known)
    if (!e) return nullptr;
  return value->known;
}

TensorPtr tensor_from_doubles(DType type, Dims dims, std::span<const double> values) {
  auto t = Tensor::allocate(type, std::move(dims));
  if (!t.ok()) return nullptr;
  const bool ok = dispatch_dtype(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* to = reinterpret_cast<T*>((*t)->mutable_data());
    for (size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) to[i] = T(static_cast<float>(values[i]));
      else to[i] = static_cast<T>(values[i]);
    }
  });
  return ok ? TensorPtr(*std::move(t)) : nullptr;
}

}  // namespace fovea::core
