#include "tactics/phases.h"

#include <algorithm>

namespace fovea::core {
namespace {

bool fully_known(const Value& v) {
  return v.known && !v.graph_input && !v.is_constant() &&
         std::all_of(v.known->begin(), v.known->end(), [](const auto& e) { return e.has_value(); }) && v.shaped &&
         constant_shape(v.shape) && element_count(*constant_shape(v.shape)) == static_cast<int64_t>(v.known->size());
}

bool data_dependent(const Value& v) {
  if (v.known)
    for (const auto& e : *v.known)
      if (e && e->data_dependent()) return true;
  return std::any_of(v.shape.begin(), v.shape.end(), [](const Dim& d) { return d.data_dependent(); });
}

class Finder {
 public:
  explicit Finder(Phases& phases) : phases_(phases) {}

  void graph(const Graph& g) {
    // Demand flows backwards: a node is needed if one of its outputs is.
    for (const Value* v : g.outputs) need(v);
    for (auto it = g.nodes().rbegin(); it != g.nodes().rend(); ++it) {
      const Node& n = **it;
      if (std::none_of(n.outputs.begin(), n.outputs.end(), [&](const Value* v) { return v && needed_.contains(v); }))
        continue;
      phases_.nodes[&n] = Phase::kRun;
      for (const auto& region : n.regions) this->region(*region);
      for (size_t i = 0; i < n.inputs.size(); ++i)
        if (n.inputs[i] && !(i == 1 && is_reshape(n))) need(n.inputs[i]);
    }
    // Constness flows forwards.
    for (const auto& node : g.nodes()) {
      const Node& n = *node;
      if (phases_.of(n) != Phase::kRun || !n.op->pure || !n.regions.empty() || !n.sizes.empty()) continue;
      bool constant = true;
      for (size_t i = 0; i < n.inputs.size(); ++i)
        constant &= !n.inputs[i] || (i == 1 && is_reshape(n)) || phases_.shape_only(*n.inputs[i]);
      for (const Value* v : n.outputs) constant &= !v || !data_dependent(*v);
      if (constant) phases_.nodes[&n] = Phase::kShape;
    }
  }

 private:
  void need(const Value* v) {
    if (fully_known(*v)) phases_.materialised.insert(v);
    else needed_.insert(v);
  }
  void region(const Graph& g) {
    Finder inner(phases_);
    inner.graph(g);
  }
  Phases& phases_;
  std::unordered_set<const Value*> needed_;
};

}  // namespace

bool is_reshape(const Node& n) {
  return (n.is("Reshape") || n.is("Squeeze") || n.is("Unsqueeze") || n.is("Flatten") || n.is("Identity")) &&
         n.sizes.empty();
}

bool Phases::shape_only(const Value& v) const {
  if (v.is_constant()) return true;
  if (materialised.contains(&v)) return !data_dependent(v);
  return v.producer && of(*v.producer) == Phase::kShape;
}

Phases find_phases(const Graph& graph) {
  Phases phases;
  Finder(phases).graph(graph);
  return phases;
}

}  // namespace fovea::core
