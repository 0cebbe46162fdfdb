#include "kernels/cpu/post_ops.h"

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

std::vector<Group> match_with_tail(const Graph& graph, const Node& anchor, Tail tail) {
  tail.activation = [](const Node& node) {
    dnnl::post_ops ops;
    return append_activation(node, ops);
  };
  return core::match_with_tail(graph, anchor, tail);
}

dnnl::post_ops post_ops_of(const Group& group) {
  dnnl::post_ops ops;
  for (size_t i = 1; i < group.nodes.size(); ++i) {
    const Node& node = *group.nodes[i];
    if (!node.is("Add")) append_activation(node, ops);
    else if (!added_row(node, group.nodes[i - 1]->output())) ops.append_sum(1.0f);
  }
  return ops;
}

}  // namespace fovea::core::onednn
