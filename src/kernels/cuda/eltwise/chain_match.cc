#include "kernels/cuda/eltwise/chain_match.h"

#include <algorithm>

#include "kernels/chain.h"
#include "kernels/cuda/common.h"
#include "kernels/cuda/eltwise/chain_rules.h"
#include "kernels/cuda/reduce/fold_rules.h"

namespace fovea::core::cuda::chain {
namespace {

constexpr size_t kMostSteps = 32;   // operators in a chain
constexpr size_t kMostInputs = 32;  // numbers included

bool within_limits(const Group& group) {
  return group.inputs.size() <= kMostInputs &&
         std::ranges::count_if(group.inputs, [](const Value* v) { return v && !is_number(v); }) <= kMostOperands;
}

// The anchor's types are refuse()'s to name.
bool joins(const Node& node, const Value* chained) {
  return fits(node, chained) && (!chained || type_refusal(node, *rule_of(node)).empty());
}

// One number for each channel of a picture of this shape, known beforehand: [C,1,1] or [1,C,1,1].
bool is_channel_constant(const Value* v, const Shape& shape) {
  const size_t rank = v->shape.size();
  if (!v->is_constant() || rank < 3 || rank > 4 || v->dtype != DType::kFloat32) return false;
  for (size_t i = 0; i < rank; ++i)
    if (i + 3 == rank ? v->shape[i] != shape[1] : !v->shape[i].is_const(1)) return false;
  return true;
}

// Of all channels, the same or repeated along others.
bool repeats_pixels(const Value* v, const Shape& shape) {
  if (v->is_constant() || v->shape.size() != 4 || v->shape[1] != shape[1]) return false;
  for (size_t i : {0, 2, 3})
    if (v->shape[i] != shape[i] && !v->shape[i].is_const(1)) return false;
  return true;
}

bool packs(const Group& group) {
  const Value& y = *group.outputs[0];
  if (y.shape.size() != 4 || y.dtype != DType::kFloat32) return false;
  bool any = false;
  for (const Value* v : group.inputs) {
    if (!v || is_number(v)) continue;
    if (v->dtype != DType::kFloat32) return false;
    if (!is_scalar(*v) && !is_channel_constant(v, y.shape) && !repeats_pixels(v, y.shape)) return false;
    any |= repeats_pixels(v, y.shape);
  }
  return any;
}

// A fold goes over strides: each of its inputs may lie as it likes.
bool is_folded_picture(const Value* v, const Node& fold) {
  return v && !v->is_constant() && v->dtype == DType::kFloat32 && v->shape.size() == 4 &&
         v->shape == fold.inputs[0]->shape;
}

constexpr ChainRules kRules = {.most_nodes = kMostSteps,
                               .is_link = [](const Node& node) { return rule_of(node) != nullptr; },
                               .is_binary = [](const Node& node) { return operands_of(rule_of(node)->kind) == 2; },
                               .fits = joins,
                               .within_limits = within_limits};

}  // namespace

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  const fold::Rule* rule = fold::rule_of(anchor);
  if (!rule && !joins(anchor, nullptr)) return {};
  std::vector<Group> groups = {single_node_group(anchor)};
  groups[0].keeps_inputs = rule && !rule->keeps_shape;
  grow_chain(graph, kRules, groups);
  const Node* next = rule ? nullptr : only_user(graph, groups.back().outputs[0]);
  if (next && fold::rule_of(*next) && fold::refusal(*next).empty()) {
    Group group = groups.back();
    group.nodes.push_back(next);
    group.outputs = {next->output()};
    group.keeps_inputs = !fold::rule_of(*next)->keeps_shape;
    groups.push_back(std::move(group));
    grow_chain(graph, kRules, groups);
  }
  std::ranges::reverse(groups);
  return groups;
}

std::string refuse(const Group& group) {
  for (const Node* node : group.nodes) {
    const Rule* rule = rule_of(*node);
    if (std::string reason = rule ? type_refusal(*node, *rule) : fold::refusal(*node); !reason.empty()) return reason;
    for (const Value* v : node->inputs)
      if (rule && v && v->shape.size() > node->output()->shape.size()) return "more dimensions than the output";
  }
  return "";
}

std::vector<FormatChoice> formats(const Group& group) {
  const Value& y = *group.outputs[0];
  bool narrow = may_be_half(y);
  for (const Value* v : group.inputs) narrow |= v && !v->is_constant() && may_be_half(*v);
  const Node* fold = fold::fold_of(group);
  const auto is_picture = [&](const Value* v) {
    return fold ? is_folded_picture(v, *fold) : repeats_pixels(v, y.shape);
  };
  std::vector<FormatChoice> choices;
  const auto offer = [&](bool packed, bool packs_output, bool halves) {
    const auto format_of = [&](const Value& v, Format f) { return halves && may_be_half(v) ? half(f) : f; };
    FormatChoice choice;
    for (const Value* v : group.inputs) {
      if (!v || is_number(v)) choice.inputs.push_back(kHost);
      else if (v->is_constant()) choice.inputs.push_back(kPlain);
      else choice.inputs.push_back(format_of(*v, packed && is_picture(v) ? kNhwc8 : kPlain));
    }
    choice.outputs = {format_of(y, packs_output ? kNhwc8 : kPlain)};
    choices.push_back(std::move(choice));
  };
  for (const bool halves : {true, false}) {
    if (halves && !narrow) continue;
    offer(false, false, halves);
    if (!fold) {
      if (packs(group)) offer(true, true, halves);
    } else if (std::ranges::any_of(group.inputs, is_picture)) {
      offer(true, false, halves);
      // The lanes that no channel fills are zeroed beforehand: not where the output may be an input's memory.
      if (group.keeps_inputs && y.shape.size() == 4 && y.dtype == DType::kFloat32) offer(true, true, halves);
    }
  }
  return choices;
}

}  // namespace fovea::core::cuda::chain
