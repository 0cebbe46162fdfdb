// Two reductions of one kind behind each other are one: a single kernel over both dimensions, and what libraries know
// as global pooling.
//   ReduceMean(ReduceMean(x, 3), 2) == ReduceMean(x, 2, 3)      likewise Sum, Max, Min, Prod, L1, L2 and LogSumExp
// Both keep the reduced dimensions, or neither does. The result is rounded once instead of twice. Means of integers
// round after each, so they stay.
#include <algorithm>

#include "ops/reduce.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

bool associates(const Node& node) {
  constexpr std::string_view kKinds[] = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin",
                                         "ReduceProd", "ReduceL1",  "ReduceL2",  "ReduceLogSumExp"};
  if (std::ranges::find(kKinds, node.op->name) == std::end(kKinds)) return false;
  return is_float(node.output()->dtype) ||
         !(node.is("ReduceMean") || node.is("ReduceL2") || node.is("ReduceLogSumExp"));
}

// The axes of both in the first one's input, ascending.
std::vector<int64_t> joint_axes(const ReduceAttrs& first, const ReduceAttrs& second, size_t rank) {
  std::vector<int64_t> left;  // dimensions of the input that the second one sees
  for (int64_t d = 0; d < static_cast<int64_t>(rank); ++d)
    if (first.keepdims || std::ranges::find(first.axes, d) == first.axes.end()) left.push_back(d);
  std::vector<int64_t> axes = first.axes;
  for (int64_t a : second.axes) axes.push_back(left[static_cast<size_t>(a)]);
  std::ranges::sort(axes);
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

Result<bool> join(Graph& graph, Node& node) {
  if (!associates(node)) return false;
  const Node* inner = node.inputs[0]->producer;
  if (!inner || inner->op != node.op || !single_use(graph, node.inputs[0])) return false;
  const auto &first = inner->as<ReduceAttrs>(), &second = node.as<ReduceAttrs>();
  // No axes: each element by itself, |x| or its like; another matter.
  if (first.keepdims != second.keepdims || first.axes.empty() || second.axes.empty()) return false;
  Value* x = inner->inputs[0];
  AttrsPtr joined = make_attrs(ReduceAttrs{joint_axes(first, second, x->shape.size()), first.keepdims});
  graph.set_input(&node, 0, x);
  node.attrs = std::move(joined);
  add_origin(node, *inner);
  return true;
}

}  // namespace

Result<bool> merge_reductions(Graph& graph, PassContext&) { return for_each_node(graph, join); }

}  // namespace fovea::core
