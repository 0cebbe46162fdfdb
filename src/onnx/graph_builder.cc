#include "onnx/graph_builder.h"

#include "onnx/attributes.h"
#include "onnx/graph_inputs.h"
#include "onnx/names.h"
#include "onnx/support.h"

namespace fovea::core {

Value* GraphBuilder::Scope::find(const std::string& name) const {
  for (const Scope* s = this; s; s = s->parent)
    if (auto it = s->values.find(name); it != s->values.end()) return it->second;
  return nullptr;
}

void GraphBuilder::define(Scope& scope, const std::string& name, Value* value) {
  scope.values[name] = value;
  if (named_.insert(value).second && value->name != name) scope.graph.rename(value, name);
}

Result<std::unique_ptr<Graph>> GraphBuilder::build(const ReadOptions& options) {
  auto graph = std::make_unique<Graph>("main");
  onnx::GraphProto& proto = *model_.mutable_graph();
  Scope scope{*graph, nullptr, {}};
  FOVEA_TRY(add_graph_inputs(proto, options, *graph));
  for (Value* v : graph->inputs) define(scope, v->name, v);
  if (proto.output_size() == 0) return invalid_model("the graph has no outputs");
  FOVEA_TRY(add_nodes(proto, scope));
  FOVEA_TRY(set_outputs(proto, scope));
  graph->erase_unused_constants();
  return graph;
}

Status GraphBuilder::add_initializers(onnx::GraphProto& proto, Scope& scope) {
  if (proto.sparse_initializer_size() > 0)
    return unsupported("sparse initializer '{}': fovea reads dense ones only",
                       proto.sparse_initializer(0).values().name());
  for (auto& t : *proto.mutable_initializer()) {
    FOVEA_TRY_SET(TensorPtr tensor, read_tensor(t, external_, fmt::format("initializer '{}'", t.name())));
    define(scope, t.name(), scope.graph.add_constant(std::move(tensor), t.name()));
  }
  return {};
}

Status GraphBuilder::add_nodes(onnx::GraphProto& proto, Scope& scope) {
  // The order is checked first: what is wrong with the graph's form is said before its weights are touched.
  FOVEA_TRY_SET(std::vector<int> order,
                node_order(proto, [&](const std::string& name) { return scope.find(name) != nullptr; }));
  FOVEA_TRY(add_initializers(proto, scope));
  for (int i : order) FOVEA_TRY(add_node(*proto.mutable_node(i), scope));
  return {};
}

Result<std::vector<Value*>> GraphBuilder::inputs_of(const onnx::NodeProto& proto, const Scope& scope) {
  std::vector<Value*> inputs;
  for (const std::string& name : proto.input()) {
    inputs.push_back(name.empty() ? nullptr : scope.find(name));
    if (!name.empty() && !inputs.back())
      return invalid_model("{}: reads '{}', which nothing provides", node_label(proto), name);
  }
  return inputs;
}

Status GraphBuilder::add_constant(onnx::NodeProto& proto, Scope& scope) {
  FOVEA_TRY_SET(TensorPtr tensor, read_constant(proto, external_));
  define(scope, proto.output(0), scope.graph.add_constant(std::move(tensor), proto.output(0)));
  return {};
}

namespace {
// The branch that an If takes whatever its inputs hold, or null.
onnx::GraphProto* certain_branch(onnx::NodeProto& proto, const Value* condition) {
  std::optional<Expr> known;
  SymValuePtr elements = condition->constant ? known_of(*condition->constant) : condition->known;
  if (elements && elements->size() == 1) known = elements->front();
  if (!known || !known->is_const() || known->dtype() != DType::kBool) return nullptr;
  for (auto& a : *proto.mutable_attribute())
    if (a.has_g() && a.name() == (known->int_value() ? "then_branch" : "else_branch")) return a.mutable_g();
  return nullptr;
}
}  // namespace

Status GraphBuilder::add_node(onnx::NodeProto& proto, Scope& scope) {
  const bool standard = proto.domain().empty() || proto.domain() == "ai.onnx";
  if (standard && proto.op_type() == "Constant") return add_constant(proto, scope);
  OnnxNode node;
  node.op_type = proto.op_type(), node.domain = standard ? "" : proto.domain(), node.name = proto.name();
  node.opset = opset_of(model_, proto.domain());
  node.outputs.assign(proto.output().begin(), proto.output().end());
  FOVEA_TRY_SET(node.inputs, inputs_of(proto, scope));
  // The branches of an If that tests a shape often differ in rank (exported `squeeze`): where the condition is known,
  // only the one taken exists.
  if (standard && proto.op_type() == "If" && !node.inputs.empty() && node.inputs[0])
    if (onnx::GraphProto* taken = certain_branch(proto, node.inputs[0])) return inline_branch(proto, *taken, scope);
  FOVEA_TRY(read_attributes(proto, external_, node.attributes));
  FOVEA_TRY(add_branches(proto, scope, node));
  const OpDef* def = find_onnx_op(node.domain, node.op_type);
  if (!def || !def->import) return unsupported("{}: operator '{}' is not supported", node_label(proto), node.op_type);
  return import(node, *def, scope);
}

Status GraphBuilder::import(OnnxNode& node, const OpDef& def, Scope& scope) {
  ImportContext context(scope.graph, node, def);
  Status s = def.import(context);
  if (s.ok()) s = context.deferred();
  if (!s.ok()) {
    // Most messages name the node; those of helpers below the operators do not.
    const std::string& name = node.name.empty() && !node.outputs.empty() ? node.outputs[0] : node.name;
    return s.message().find(name) != std::string::npos ? s : s.in(context.label());
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i].empty()) continue;
    Value* value = context.results()[i];
    if (!value) return context.unsupported(fmt::format("output {} '{}'", i, node.outputs[i]));
    define(scope, node.outputs[i], value);
  }
  return {};
}

Status GraphBuilder::set_outputs(const onnx::GraphProto& proto, Scope& scope) {
  std::unordered_set<std::string> seen;
  for (const auto& output : proto.output()) {
    Value* value = scope.find(output.name());
    if (!value)
      return invalid_model("output '{}' of graph '{}' is provided by no node, input or initializer", output.name(),
                           proto.name());
    if (!seen.insert(output.name()).second) return invalid_model("output '{}' is given twice", output.name());
    scope.graph.outputs.push_back(value);
    scope.graph.output_names.push_back(output.name());
  }
  return {};
}

Status GraphBuilder::add_branches(onnx::NodeProto& proto, Scope& scope, OnnxNode& node) {
  if (subgraphs(proto).empty()) return {};
  const std::vector<std::string> names = captured_names(proto);
  std::unordered_set<const Value*> seen;
  for (const std::string& name : names) {
    Value* value = scope.find(name);
    if (!value) return invalid_model("{}: a subgraph reads '{}', which nothing provides", node_label(proto), name);
    // Constants are copied into the branches (they share the tensor): that way the branches' shapes stay known.
    if (!value->is_constant() && seen.insert(value).second) node.captures.push_back(value);
  }
  for (auto& a : *proto.mutable_attribute()) {
    if (!a.has_g()) continue;
    auto region = build_branch(*a.mutable_g(), names, node, scope);
    if (!region.ok()) return region.status().in(fmt::format("{}, {}", node_label(proto), a.name()));
    node.branches.push_back({a.name(), *std::move(region)});
  }
  return {};
}

Result<std::unique_ptr<Graph>> GraphBuilder::build_branch(onnx::GraphProto& proto,
                                                          const std::vector<std::string>& names, const OnnxNode& node,
                                                          Scope& scope) {
  if (proto.input_size() > 0) return unsupported("a subgraph with inputs of its own ('{}')", proto.input(0).name());
  auto region = scope.graph.make_region(proto.name());
  Scope inner{*region, nullptr, {}};
  std::unordered_map<const Value*, Value*> inside;
  for (Value* outer : node.captures) {
    Value* v = region->add_input(outer->name, outer->dtype, outer->shape);
    v->known = outer->known, v->kind = outer->kind;
    inside[outer] = v;
  }
  for (const std::string& name : names) {
    Value* outer = scope.find(name);
    Value*& v = inside[outer];
    if (!v) v = region->add_constant(outer->constant, outer->name);
    named_.insert(v);
    inner.values[name] = v;
  }
  FOVEA_TRY(add_nodes(proto, inner));
  FOVEA_TRY(set_outputs(proto, inner));
  region->erase_unused_constants();
  return region;
}

Status GraphBuilder::inline_branch(onnx::NodeProto& proto, onnx::GraphProto& branch, Scope& scope) {
  if (branch.output_size() != proto.output_size())
    return invalid_model("{}: expected branches with {} outputs, found {}", node_label(proto), proto.output_size(),
                         branch.output_size());
  Scope inner{scope.graph, &scope, {}};
  FOVEA_TRY(add_nodes(branch, inner));
  for (int i = 0; i < proto.output_size(); ++i) {
    Value* value = inner.find(branch.output(i).name());
    if (!value)
      return invalid_model("{}: output '{}' of branch '{}' is provided by nothing", node_label(proto),
                           branch.output(i).name(), branch.name());
    if (!proto.output(i).empty()) define(scope, proto.output(i), value);
  }
  return {};
}

}  // namespace fovea::core
