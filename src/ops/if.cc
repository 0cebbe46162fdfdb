// If: runs region 0 where the condition is true, region 1 where it is false; the regions' outputs are its own. Branches
// that disagree about a size leave it to the run, between the smaller and the larger of the two.
#include <unordered_map>

#include "ops/op.h"

namespace fovea::core {
namespace {

// Gives a region's inputs what is known of the captures now, and infers its nodes.
Status infer_region(const Node& node, Graph& region) {
  const auto own = static_cast<size_t>(node.own_inputs);
  for (size_t i = 0; i < region.inputs.size(); ++i) {
    const Value& outer = *node.inputs[own + i];
    Value& inner = *region.inputs[i];
    inner.dtype = outer.dtype, inner.shape = outer.shape, inner.kind = outer.kind;
    inner.known = outer.constant ? known_of(*outer.constant) : outer.known;
  }
  return infer_graph(region);
}

// Sizes that nodes of a region define end with it: outside only their bounds hold.
using InnerSizes = std::unordered_map<std::string, Dim>;  // name -> bound

InnerSizes defined_in(const Graph& region) {
  InnerSizes sizes;
  for (const auto& node : region.nodes())
    for (const SizeDefinition& s : node->sizes) sizes.emplace(s.symbol->name, s.bound);
  return sizes;
}

bool visible_outside(const Expr& e, const InnerSizes& inner) {
  std::vector<SymbolPtr> symbols;
  e.collect_symbols(symbols);
  return std::none_of(symbols.begin(), symbols.end(), [&](const SymbolPtr& s) { return inner.contains(s->name); });
}

// A bound of `d` in sizes that are known outside. A size is replaced by its own bound, as often as needed; an
// expression of inner sizes, which need not grow with them, by the number it cannot exceed.
Dim outer_bound(Dim d, const InnerSizes& inner) {
  for (size_t i = 0; i <= inner.size(); ++i) {
    if (visible_outside(d, inner)) return d;
    if (d.op() != ExprOp::kSymbol) break;
    d = inner.at(d.symbol()->name);
  }
  return d.hi();
}

// The branch that is taken whatever the inputs' elements are.
std::optional<size_t> certain_branch(const InferContext& c) {
  const SymValuePtr condition = c.known(0);
  if (!condition || condition->size() != 1 || !(*condition)[0] || !(*condition)[0]->is_const()) return std::nullopt;
  return (*condition)[0]->int_value() ? 0 : 1;
}

Status merge_output(InferContext& c, size_t i, const InnerSizes& inner) {
  const std::optional<size_t> certain = certain_branch(c);
  const auto& regions = c.node().regions;
  const Value &a = *regions[certain.value_or(0)]->outputs[i], &b = *regions[certain.value_or(1)]->outputs[i];
  if (a.kind != TypeKind::kTensor || b.kind != TypeKind::kTensor)
    return unsupported("{}: output {} is a sequence or optional", c.node().label(), i);
  if (a.dtype != b.dtype)
    return c.error(fmt::format("output {}: the branches give {} and {}", i, to_string(a.dtype), to_string(b.dtype)));
  if (a.shape.size() != b.shape.size())
    return unsupported("{}: output {}: the branches give {} and {}: rank must be static", c.node().label(), i,
                       to_string(a.shape), to_string(b.shape));
  Shape shape;
  for (size_t d = 0; d < a.shape.size(); ++d) {
    const Dim &x = a.shape[d], &y = b.shape[d];
    if (x == y && visible_outside(x, inner)) shape.push_back(x);
    else
      shape.push_back(c.data_dependent_size(static_cast<int>(i), static_cast<int>(d),
                                            std::max<int64_t>(0, std::min(x.lo(), y.lo())),
                                            max(outer_bound(x, inner), outer_bound(y, inner))));
  }
  c.set_output(i, a.dtype, std::move(shape));
  return {};
}

Status infer(InferContext& c) {
  const Node& node = c.node();
  if (node.regions.size() != 2 || node.own_inputs != 1) return c.error("expected a condition and 2 branches");
  FOVEA_TRY(c.expect_dtype(0, c.dtype(0) == DType::kBool, "bool"));
  const Dim count = product(c.shape(0));
  if (count.is_const() && !count.is_const(1))
    return c.error(fmt::format("expected 1 condition, found shape {}", to_string(c.shape(0))));
  InnerSizes inner;
  const std::optional<size_t> certain = certain_branch(c);
  for (const auto& region : node.regions) {
    if (region->inputs.size() + 1 != node.inputs.size())
      return c.error(fmt::format("branch '{}' has {} inputs for {} captures", region->name, region->inputs.size(),
                                 node.inputs.size() - 1));
    if (region->outputs.size() != c.output_count())
      return c.error(
          fmt::format("expected branches with {} outputs, found {}", c.output_count(), region->outputs.size()));
    Status s = infer_region(node, *region);
    // Sizes that a branch guards against do not fit into it.
    if (s.kind() == ErrorKind::kInvalidModel && certain && region != node.regions[*certain]) continue;
    FOVEA_TRY(s);
    inner.merge(defined_in(*region));
  }
  for (size_t i = 0; i < c.output_count(); ++i) FOVEA_TRY(merge_output(c, i, inner));
  return {};
}

std::unique_ptr<Graph> take_branch(OnnxNode& node, std::string_view attribute) {
  for (auto& branch : node.branches)
    if (branch.attribute == attribute) return std::move(branch.region);
  return nullptr;
}

Status import(ImportContext& c) {
  if (c.input_count() != 1 || !c.input(0)) return c.error(fmt::format("expected 1 input, found {}", c.input_count()));
  std::vector<std::unique_ptr<Graph>> regions;
  for (std::string_view attribute : {"then_branch", "else_branch"}) {
    regions.push_back(take_branch(c.node(), attribute));
    if (!regions.back()) return c.error(fmt::format("expected an attribute '{}', found none", attribute));
  }
  std::vector<Value*> inputs = {c.input(0)};
  inputs.insert(inputs.end(), c.node().captures.begin(), c.node().captures.end());
  Node* node = c.graph().add_node(&op_If.info, nullptr, std::move(inputs), static_cast<int>(c.output_count()));
  node->own_inputs = 1, node->regions = std::move(regions);
  node->origin.push_back(c.node().name.empty() ? fmt::format("If({})", c.output_count() ? c.node().outputs[0] : "")
                                               : c.node().name);
  FOVEA_TRY(infer_node(c.graph(), *node));
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, node->outputs[i]);
  return {};
}

}  // namespace

const OpDef op_If = {
    .info = {.name = "If", .min_inputs = 1, .max_inputs = 1, .max_outputs = 1 << 16, .infer = infer, .regions = 2},
    .onnx = {"If"},
    .import = import,
};

}  // namespace fovea::core
