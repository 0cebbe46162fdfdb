#include "kernels/cuda/reduce/fold_rules.h"

#include "kernels/cuda/eltwise/chain_rules.h"
#include "ops/reduce.h"
#include "ops/softmax.h"

namespace fovea::core::cuda::fold {
namespace {

constexpr Rule kRules[] = {
    {"ReduceSum", "Sum", "x", "s", Elements::kNumbers},
    {"ReduceMean", "Sum", "x", "mean(s, n)", Elements::kNumbers},
    {"ReduceSumSquare", "Sum", "mul(x, x)", "s", Elements::kNumbers},
    {"ReduceL1", "Sum", "absolute(x)", "s", Elements::kNumbers},
    {"ReduceL2", "Sum", "mul(x, x)", "__fsqrt_rn(s)", Elements::kFloats},
    {"ReduceLogSum", "Sum", "x", "logf(s)", Elements::kFloats},
    {"ReduceLogSumExp", "LogSumExp", "exponential(x)", "logarithm(s)", Elements::kFloats},
    {"ReduceProd", "Product", "x", "s", Elements::kNumbers},
    {"ReduceMax", "Largest", "x", "s", Elements::kAny},
    {"ReduceMin", "Smallest", "x", "s", Elements::kAny},
    {"Softmax", "", "", "", Elements::kFloats, true},
    {"LogSoftmax", "", "", "", Elements::kFloats, true},
};

}  // namespace

const Rule* rule_of(const Node& node) {
  for (const Rule& r : kRules)
    if (node.is(r.op)) return &r;
  return nullptr;
}

const Node* fold_of(const Group& group) {
  for (const Node* node : group.nodes)
    if (rule_of(*node)) return node;
  return nullptr;
}

std::string refusal(const Node& node) {
  const DType type = node.inputs[0]->dtype;
  const Rule& rule = *rule_of(node);
  if (rule.keeps_shape && node.inputs[0]->shape.empty()) return "a scalar";
  const bool real = type == DType::kFloat32 || type == DType::kFloat16;
  if (real || (rule.elements != Elements::kFloats && (type == DType::kInt32 || type == DType::kInt64)) ||
      (rule.elements == Elements::kAny && type == DType::kBool))
    return "";
  return fmt::format("{} of {}", node.op->name, to_string(type));
}

std::vector<int64_t> axes_of(const Node& node) {
  if (!rule_of(node)->keeps_shape) return node.as<ReduceAttrs>().axes;
  const int64_t axis = node.as<SoftmaxAttrs>().axis, rank = static_cast<int64_t>(node.inputs[0]->shape.size());
  return {axis < 0 ? axis + rank : axis};
}

}  // namespace fovea::core::cuda::fold
