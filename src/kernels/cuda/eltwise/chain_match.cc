#include "kernels/cuda/eltwise/chain_match.h"

#include <algorithm>

#include "kernels/chain.h"
#include "kernels/cuda/common.h"
#include "kernels/cuda/eltwise/chain_rules.h"

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

}  // namespace

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  static constexpr ChainRules kRules = {
      .most_nodes = kMostSteps,
      .is_link = [](const Node& node) { return rule_of(node) != nullptr; },
      .is_binary = [](const Node& node) { return operands_of(rule_of(node)->kind) == 2; },
      .fits = joins,
      .within_limits = within_limits};
  return match_chain(graph, anchor, kRules);
}

std::string refuse(const Group& group) {
  for (const Node* node : group.nodes)
    if (std::string reason = type_refusal(*node, *rule_of(*node)); !reason.empty()) return reason;
  const auto rank = group.outputs[0]->shape.size();
  for (const Value* v : group.inputs)
    if (v && v->shape.size() > rank) return "more dimensions than the output";
  return "";
}

std::vector<FormatChoice> formats(const Group& group) {
  const Value& y = *group.outputs[0];
  bool narrow = may_be_half(y);
  for (const Value* v : group.inputs) narrow |= v && !v->is_constant() && may_be_half(*v);
  std::vector<FormatChoice> choices;
  const auto offer = [&](bool packed, bool halves) {
    const auto format_of = [&](const Value& v, Format f) { return halves && may_be_half(v) ? half(f) : f; };
    FormatChoice choice;
    for (const Value* v : group.inputs) {
      if (!v || is_number(v)) choice.inputs.push_back(kHost);
      else if (v->is_constant()) choice.inputs.push_back(kPlain);
      else choice.inputs.push_back(format_of(*v, packed && repeats_pixels(v, y.shape) ? kNhwc8 : kPlain));
    }
    choice.outputs = {format_of(y, packed ? kNhwc8 : kPlain)};
    choices.push_back(std::move(choice));
  };
  for (const bool halves : {true, false}) {
    if (halves && !narrow) continue;
    offer(false, halves);
    if (packs(group)) offer(true, halves);
  }
  return choices;
}

}  // namespace fovea::core::cuda::chain
