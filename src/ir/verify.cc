#include "ir/verify.h"

#include <algorithm>
#include <set>
#include <unordered_set>

namespace fovea::core {
namespace {

// What holds for the whole graph, regions included.
struct Scope {
  std::unordered_set<int> value_ids, node_ids;
  std::unordered_set<std::string> declared;        // symbols of the outermost graph
  std::unordered_set<std::string> data_dependent;  // those that a node must define
  std::unordered_set<std::string> defined_ever;    // by any node so far
};

class Verifier {
 public:
  // `visible`: data-dependent sizes that may be used here; those defined in a region end with it.
  Verifier(const Graph& graph, Scope& scope, std::unordered_set<std::string> visible)
      : graph_(graph), scope_(scope), visible_(std::move(visible)) {}

  Status run() {
    FOVEA_TRY(values());
    FOVEA_TRY(interface());
    FOVEA_TRY(uses());
    for (const Value* v : graph_.inputs) ready_.insert(v);
    for (const auto& node : graph_.nodes()) {
      Status s = check_node(*node);
      if (!s.ok()) return s.in(fmt::format("graph '{}'", graph_.name)).in("the verifier found a broken graph");
    }
    for (const Value* v : graph_.outputs)
      if (!ready_.contains(v) && !v->is_constant()) return broken("output '{}' is never computed", v->name);
    return {};
  }

 private:
  template <typename... A>
  Status broken(fmt::format_string<A...> f, A&&... a) const {
    return internal_error("the verifier found a broken graph '{}': {}", graph_.name,
                          fmt::format(f, std::forward<A>(a)...));
  }

  Status values() {
    for (const auto& v : graph_.values()) {
      if (!owned_.insert(v.get()).second) return broken("value '{}' is listed twice", v->name);
      if (!scope_.value_ids.insert(v->id).second) return broken("value '{}' has the id {} of another", v->name, v->id);
      if (v->name.empty()) return broken("value {} has no name", v->id);
      if (graph_.find(v->name) != v.get()) return broken("value '{}' is not the one found by its name", v->name);
      const int origins = v->graph_input + v->is_constant() + (v->producer != nullptr);
      if (origins != 1)
        return broken("value '{}' is {}", v->name,
                      origins ? "computed in two ways" : "neither input nor constant and has no producer");
      FOVEA_TRY(type(*v));
      if (v->is_constant()) FOVEA_TRY(constant(*v));
      if (!v->producer) FOVEA_TRY(sizes_visible(*v));  // outputs of nodes: when their node has been checked
    }
    return {};
  }

  // Every listed use exists and is listed once; as many are listed as there are inputs, so each input is listed.
  Status uses() const {
    std::unordered_set<const Node*> nodes;
    size_t inputs = 0, listed = 0;
    for (const auto& node : graph_.nodes()) {
      nodes.insert(node.get());
      for (const Value* v : node->inputs) inputs += v != nullptr;
    }
    std::set<std::pair<const Node*, int>> seen;
    for (const auto& v : graph_.values())
      for (const Use& use : v->uses) {
        if (!nodes.contains(use.node)) return broken("value '{}' lists a use by a node that is gone", v->name);
        if (use.node->input(static_cast<size_t>(use.index)) != v.get())
          return broken("value '{}' lists a use as input {} of {}, which has another there", v->name, use.index,
                        use.node->label());
        if (!seen.emplace(use.node, use.index).second)
          return broken("value '{}' lists a use by {} twice", v->name, use.node->label());
        ++listed;
      }
    if (inputs != listed) return broken("{} inputs of nodes, but {} uses are listed", inputs, listed);
    return {};
  }

  Status type(const Value& v) const {
    if (v.kind != TypeKind::kTensor) return {};
    if (v.dtype == DType::kUndefined) return broken("value '{}' has no dtype", v.name);
    if (!v.shaped) return broken("value '{}' has no inferred shape", v.name);
    if (v.shape.size() > kMaxRank) return broken("value '{}' has rank {}", v.name, v.shape.size());
    for (const Dim& d : v.shape) {
      if (d.dtype() != DType::kInt64) return broken("value '{}' has a size of type {}", v.name, to_string(d.dtype()));
      if (d.is_const() && d.int_value() < 0)
        return broken("value '{}' has a negative size in {}", v.name, to_string(v.shape));
    }
    return v.known ? known(v) : Status();
  }

  Status known(const Value& v) const {
    const Dim count = product(v.shape);
    if (!count.is_const(static_cast<int64_t>(v.known->size())))
      return broken("value '{}' of shape {} has {} known elements", v.name, to_string(v.shape), v.known->size());
    const DType want = v.dtype == DType::kInt32 ? DType::kInt64 : v.dtype;
    for (const auto& e : *v.known)
      if (e && e->dtype() != want)
        return broken("value '{}' of {} has a known element of {}", v.name, to_string(v.dtype), to_string(e->dtype()));
    return {};
  }

  Status constant(const Value& v) const {
    if (v.constant->dtype() != v.dtype)
      return broken("constant '{}' is declared {} and holds {}", v.name, to_string(v.dtype),
                    to_string(v.constant->dtype()));
    auto shape = constant_shape(v.shape);
    if (!shape || *shape != v.constant->dims())
      return broken("constant '{}' is not of its declared shape {}", v.name, to_string(v.shape));
    return {};
  }

  Status sizes_visible(const Value& v) const {
    std::vector<SymbolPtr> symbols;
    for (const Dim& d : v.shape) d.collect_symbols(symbols);
    if (v.known)
      for (const auto& e : *v.known)
        if (e) e->collect_symbols(symbols);
    for (const SymbolPtr& s : symbols) {
      if (!scope_.declared.contains(s->name))
        return broken("value '{}' uses the size '{}', which is not declared", v.name, s->name);
      if (scope_.data_dependent.contains(s->name) && !visible_.contains(s->name))
        return broken("value '{}' uses the data-dependent size '{}', which no node before it defines", v.name, s->name);
    }
    return {};
  }

  Status interface() const {
    for (const Value* v : graph_.inputs)
      if (!v || !owned_.contains(v) || !v->graph_input) return broken("an input is not a value of the graph");
    for (const Value* v : graph_.outputs)
      if (!v || !owned_.contains(v)) return broken("an output is not a value of the graph");
    for (const auto& v : graph_.values())
      if (v->graph_input && std::find(graph_.inputs.begin(), graph_.inputs.end(), v.get()) == graph_.inputs.end())
        return broken("value '{}' says it is an input", v->name);
    if (!graph_.parent() && graph_.output_names.size() != graph_.outputs.size())
      return broken("{} outputs have {} names", graph_.outputs.size(), graph_.output_names.size());
    std::set<std::string> names(graph_.output_names.begin(), graph_.output_names.end());
    if (names.size() != graph_.output_names.size()) return broken("two outputs have the same name");
    return {};
  }

  Status check_node(const Node& node) {
    if (!node.op || !node.op->infer) return internal_error("node {} has no operator", node.id);
    if (!scope_.node_ids.insert(node.id).second)
      return internal_error("{}: another node has its id {}", node.label(), node.id);
    FOVEA_TRY(arity(node));
    FOVEA_TRY(attributes(node));
    FOVEA_TRY(inputs(node));
    FOVEA_TRY(regions(node));
    for (const SizeDefinition& s : node.sizes) FOVEA_TRY(definition(node, s));
    for (size_t i = 0; i < node.outputs.size(); ++i) FOVEA_TRY(output(node, i));
    return {};
  }

  Status arity(const Node& node) const {
    const OpInfo& op = *node.op;
    const int in = node.own_inputs >= 0 ? node.own_inputs : static_cast<int>(node.inputs.size());
    const int out = static_cast<int>(node.outputs.size());
    if (in < op.min_inputs || (op.max_inputs >= 0 && in > op.max_inputs))
      return internal_error("{}: expected {} to {} inputs, found {}", node.label(), op.min_inputs, op.max_inputs, in);
    if (out < op.min_outputs || (op.max_outputs >= 0 && out > op.max_outputs))
      return internal_error("{}: expected {} to {} outputs, found {}", node.label(), op.min_outputs, op.max_outputs,
                            out);
    for (int i = 0; i < op.min_inputs; ++i)
      if (!node.inputs[static_cast<size_t>(i)])
        return internal_error("{}: input {} is required and missing", node.label(), i);
    return {};
  }

  Status attributes(const Node& node) const {
    const AttrsCodec& codec = node.op->attrs;
    if (!codec.to_map)
      return node.attrs ? internal_error("{}: attributes where the operator has none", node.label()) : Status();
    if (!node.attrs) return internal_error("{}: no attributes", node.label());
    auto defaults = codec.from_map({});
    if (!defaults.ok()) return defaults.status().in(node.label());
    // to_map() of another operator's struct is empty.
    if (codec.to_map(node.attrs.get()).size() != codec.to_map(defaults->get()).size())
      return internal_error("{}: the attributes are another operator's", node.label());
    return {};
  }

  Status inputs(const Node& node) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Value* v = node.inputs[i];
      if (!v) continue;
      if (!owned_.contains(v)) return internal_error("{}: input {} is not a value of this graph", node.label(), i);
      if (!v->is_constant() && !ready_.contains(v))
        return internal_error("{}: input {} '{}' is computed later", node.label(), i, v->name);
    }
    return {};
  }

  Status regions(const Node& node) {
    if (static_cast<int>(node.regions.size()) != node.op->regions)
      return internal_error("{}: expected {} regions, found {}", node.label(), node.op->regions, node.regions.size());
    if (node.regions.empty())
      return node.own_inputs < 0 ? Status() : internal_error("{}: own_inputs without a region", node.label());
    if (node.own_inputs < 0 || node.own_inputs > static_cast<int>(node.inputs.size()))
      return internal_error("{}: {} own inputs of {}", node.label(), node.own_inputs, node.inputs.size());
    for (const auto& region : node.regions) {
      if (region->parent() != &graph_)
        return internal_error("{}: region '{}' belongs to another graph", node.label(), region->name);
      FOVEA_TRY(captures(node, *region));
      FOVEA_TRY(Verifier(*region, scope_, visible_).run().in(node.label()));
    }
    return {};
  }

  // The captures are the last inputs of every region; an operator's own region inputs (Loop's counter) come before.
  Status captures(const Node& node, const Graph& region) const {
    const size_t first = static_cast<size_t>(node.own_inputs), count = node.inputs.size() - first;
    if (region.inputs.size() < count)
      return internal_error("{}: region '{}' has {} inputs for {} captures", node.label(), region.name,
                            region.inputs.size(), count);
    for (size_t i = 0; i < count; ++i) {
      const Value *outer = node.inputs[first + i], *inner = region.inputs[region.inputs.size() - count + i];
      if (!outer || outer->dtype != inner->dtype || outer->kind != inner->kind)
        return internal_error("{}: region '{}' takes capture {} '{}' as another type", node.label(), region.name, i,
                              inner->name);
    }
    return {};
  }

  Status definition(const Node& node, const SizeDefinition& s) {
    if (!s.symbol) return internal_error("{}: defines a size without a symbol", node.label());
    if (!scope_.data_dependent.contains(s.symbol->name))
      return internal_error("{}: defines '{}', which is not declared as data-dependent", node.label(), s.symbol->name);
    if (!scope_.defined_ever.insert(s.symbol->name).second)
      return internal_error("{}: defines the size '{}' that another node defines too", node.label(), s.symbol->name);
    if (s.output < 0 || s.output >= static_cast<int>(node.outputs.size()))
      return internal_error("{}: defines the size '{}' by output {}, which it does not have", node.label(),
                            s.symbol->name, s.output);
    const Value* v = node.outputs[static_cast<size_t>(s.output)];
    if (v && (s.dim < 0 || s.dim >= static_cast<int>(v->shape.size())))
      return internal_error("{}: defines the size '{}' by dimension {} of '{}'", node.label(), s.symbol->name, s.dim,
                            v->name);
    visible_.insert(s.symbol->name);
    return {};
  }

  Status output(const Node& node, size_t i) {
    const Value* v = node.outputs[i];
    if (!v) return {};
    if (!owned_.contains(v)) return internal_error("{}: output {} is not a value of this graph", node.label(), i);
    if (v->producer != &node || v->output_index != static_cast<int>(i))
      return internal_error("{}: output {} '{}' names another producer", node.label(), i, v->name);
    ready_.insert(v);
    return sizes_visible(*v).in(node.label());
  }

  const Graph& graph_;
  Scope& scope_;
  std::unordered_set<std::string> visible_;
  std::unordered_set<const Value*> owned_, ready_;
};

}  // namespace

Status verify(const Graph& graph) {
  Scope scope;
  for (const SymbolPtr& s : graph.symbols()) {
    if (!scope.declared.insert(s->name).second)
      return internal_error("the verifier found the size '{}' declared twice", s->name);
    if (!valid_symbol_name(s->name))
      return internal_error("the verifier found the size name '{}', which the text form cannot hold", s->name);
    if (s->lo > s->hi) return internal_error("the verifier found the size '{}' in [{}, {}]", s->name, s->lo, s->hi);
    if (s->data_dependent) scope.data_dependent.insert(s->name);
  }
  return Verifier(graph, scope, {}).run();
}

}  // namespace fovea::core
