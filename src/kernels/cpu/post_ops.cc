#include "kernels/cpu/post_ops.h"

#include <algorithm>
#include <limits>

#include "ops/activation.h"

namespace fovea::core::onednn {
namespace {

using dnnl::algorithm;

void eltwise(dnnl::post_ops& ops, algorithm a, double alpha = 0, double beta = 0) {
  ops.append_eltwise(1.0f, a, static_cast<float>(alpha), static_cast<float>(beta));
}

std::optional<double> constant_or(const Value* bound, double missing) {
  if (!bound) return missing;
  if (!bound->constant || bound->constant->count() != 1) return std::nullopt;
  return bound->constant->to_doubles().at(0);
}

bool append_clip(const Node& node, dnnl::post_ops& ops) {
  const auto low = constant_or(node.input(1), -std::numeric_limits<float>::infinity());
  const auto high = constant_or(node.input(2), std::numeric_limits<float>::infinity());
  if (!low || !high || !(*low <= *high)) return false;
  eltwise(ops, algorithm::eltwise_clip, *low, *high);
  return true;
}

// The other operand of a node that adds a constant row (one number for each element of the last axis) to `value`.
const Value* bias_of(const Node& node, const Value* value) {
  if (!node.is("Add") || value->shape.empty()) return nullptr;
  const Value* other = node.input(0) == value ? node.input(1) : node.input(0);
  if (!other->constant || other->dtype != value->dtype || other->shape.empty()) return nullptr;
  const bool row = other->shape.back() == value->shape.back() && value->shape.back().is_const(other->constant->count());
  return row ? other : nullptr;
}

// The other operand of an Add to `value`, if it may be added in place: same type and shape, not a constant.
const Value* residual_of(const Node& add, const Value* value) {
  const Value* other = add.input(0) == value ? add.input(1) : add.input(0);
  if (other == value || other->is_constant() || other->dtype != value->dtype || other->shape != value->shape)
    return nullptr;
  return other;
}

}  // namespace

bool append_activation(const Node& node, dnnl::post_ops& ops) {
  if (node.is("Relu")) eltwise(ops, algorithm::eltwise_relu);
  else if (node.is("LeakyRelu")) eltwise(ops, algorithm::eltwise_relu, node.as<LeakyReluAttrs>().alpha);
  else if (node.is("Clip")) return append_clip(node, ops);
  else if (node.is("Sigmoid")) eltwise(ops, algorithm::eltwise_logistic);
  else if (node.is("Tanh")) eltwise(ops, algorithm::eltwise_tanh);
  else if (node.is("HardSwish")) eltwise(ops, algorithm::eltwise_hardswish);
  else if (node.is("Swish")) eltwise(ops, algorithm::eltwise_swish, node.as<AlphaAttrs>().alpha);
  else if (node.is("Elu")) eltwise(ops, algorithm::eltwise_elu, node.as<AlphaAttrs>().alpha);
  else if (node.is("Mish")) eltwise(ops, algorithm::eltwise_mish);
  else if (node.is("Gelu"))
    eltwise(ops, node.as<GeluAttrs>().approximate == GeluApproximation::kTanh ? algorithm::eltwise_gelu_tanh
                                                                              : algorithm::eltwise_gelu_erf);
  else return false;
  return true;
}

std::vector<Group> match_with_tail(const Graph& graph, const Node& anchor, const Tail& tail) {
  Group group = single_node_group(anchor);
  group.inputs.resize(tail.inputs, nullptr);
  std::vector<Group> groups = {group};
  dnnl::post_ops ops;
  bool activated = false;  // since the last Add
  while (const Node* next = only_user(graph, group.outputs[0])) {
    const Value* value = group.outputs[0];
    if (next->output()->shape != value->shape) break;
    if (const Value* row = tail.bias >= 0 && groups.size() == 1 ? bias_of(*next, value) : nullptr;
        row && !group.inputs[static_cast<size_t>(tail.bias)]) {
      group.inputs[static_cast<size_t>(tail.bias)] = row;
    } else if (next->is("Add")) {
      const Value* other = tail.residual && group.residual < 0 ? residual_of(*next, value) : nullptr;
      if (!other) break;
      group.residual = static_cast<int>(group.inputs.size());
      group.inputs.push_back(other);
      activated = false;
    } else {
      if (activated || next->input(0) != value || !append_activation(*next, ops)) break;
      activated = true;
    }
    group.nodes.push_back(next);
    group.outputs = {next->output()};
    groups.push_back(group);
  }
  std::reverse(groups.begin(), groups.end());
  return groups;
}

dnnl::post_ops post_ops_of(const Group& group) {
  dnnl::post_ops ops;
  for (size_t i = 1; i < group.nodes.size(); ++i) {
    const Node& node = *group.nodes[i];
    if (!node.is("Add")) append_activation(node, ops);
    else if (!bias_of(node, group.nodes[i - 1]->output())) ops.append_sum(1.0f);
  }
  return ops;
}

}  // namespace fovea::core::onednn
