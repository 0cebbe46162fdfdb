// Computes what depends on no input: nodes whose inputs are all constants, by their reference kernels, and values whose
// every element inference already knows. A small tensor that would become a large one (ConstantOfShape, Expand, Tile)
// stays a computation: the engine file should not carry it.
#include "interpreter/interpreter.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

// The constant that `known` spells out, or null if an element is not a number.
TensorPtr tensor_of_known(const Value& v) {
  auto dims = constant_shape(v.shape);
  SymValuePtr known = fully_known(&v);
  if (!dims || !known) return nullptr;
  for (const auto& e : *known)
    if (!e->is_const()) return nullptr;
  auto t = Tensor::allocate(v.dtype, *dims);
  if (!t.ok()) return nullptr;
  const bool ok = dispatch_dtype(v.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* to = reinterpret_cast<T*>((*t)->mutable_data());
    for (size_t i = 0; i < known->size(); ++i) {
      const Expr& e = *(*known)[i];
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
        to[i] = T(static_cast<float>(e.float_value()));
      else if constexpr (std::is_floating_point_v<T>) to[i] = static_cast<T>(e.float_value());
      else to[i] = static_cast<T>(e.int_value());
    }
  });
  return ok ? TensorPtr(*std::move(t)) : nullptr;
}

bool become_constant(Graph& g, Value* v, TensorPtr tensor) {
  if (!tensor) return false;
  Value* constant = g.add_constant(std::move(tensor));
  constant->precision = v->precision;
  replace(g, v, constant, true);
  return true;
}

// Would the results be small enough? Those of data-dependent size by their bound.
bool worth_keeping(const Node& node, const PassContext& context) {
  int64_t in = 0;
  for (const Value* v : node.inputs)
    if (v) in += static_cast<int64_t>(v->constant->bytes().size());
  int64_t out = 0;
  for (const Value* v : node.outputs) {
    if (!v) continue;
    const auto bytes = dtype_bytes(v->dtype, product(v->shape).hi());
    if (!bytes || *bytes > kUnbounded / 2 - out) return false;
    out += *bytes;
  }
  return out <= std::max(4 * in, context.fold_bytes);
}

bool inputs_are_constants(const Node& node) {
  for (const Value* v : node.inputs)
    if (v && !v->is_constant()) return false;
  return true;
}

bool fold_node(Graph& g, Node& node, const PassContext& context) {
  if (!node.op->pure || !node.regions.empty()) return false;
  bool changed = false;
  for (Value* v : node.outputs)
    if (v && g.used(v)) changed |= become_constant(g, v, tensor_of_known(*v));
  bool used = false;
  for (const Value* v : node.outputs) used |= v && g.used(v);
  if (!used || !inputs_are_constants(node) || !worth_keeping(node, context)) return changed;
  std::vector<TensorPtr> inputs;
  for (const Value* v : node.inputs) inputs.push_back(v ? v->constant : nullptr);
  EvaluateOptions options;
  options.threads = context.threads;
  auto results = evaluate_node(node, inputs, options);
  if (!results.ok()) return changed;  // it may never run; if it does, the run will say what is wrong
  for (size_t i = 0; i < node.outputs.size(); ++i)
    if (node.outputs[i] && g.used(node.outputs[i])) changed |= become_constant(g, node.outputs[i], (*results)[i]);
  return changed;
}

}  // namespace

Result<bool> fold_constants(Graph& graph, PassContext& context) {
  return for_each_node(graph, [&](Graph& g, Node& node) -> Result<bool> { return fold_node(g, node, context); });
}

}  // namespace fovea::core
