#include "kernels/cuda/layout/copy_row.h"

#include <algorithm>

namespace fovea::core::cuda {
namespace {

bool all_may_be_half(const Group& group) {
  const auto good = [](const Value* v) { return !v || v->is_constant() || may_be_half(*v); };
  return std::ranges::all_of(group.outputs, good) && std::ranges::all_of(group.inputs, good);
}

FormatChoice same_format(const Group& group, size_t data, Format f) {
  FormatChoice c;
  for (size_t i = 0; i < group.inputs.size(); ++i) c.inputs.push_back(i < data ? f : kHost);
  c.outputs.assign(group.outputs.size(), f);
  return c;
}

}  // namespace

std::vector<Group> match_without(const Node& anchor, std::initializer_list<size_t> unread) {
  Group group = single_node_group(anchor);
  for (size_t i : unread)
    if (i < group.inputs.size()) group.inputs[i] = nullptr;
  return {group};
}

std::string element_refusal(const Group& group) {
  const DType type = group.inputs[0]->dtype;
  const int bits = dtype_bits(type);
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64) return fmt::format("elements of {}", to_string(type));
  return "";
}
std::string constant_refusal(const Group& group, size_t first) {
  for (size_t i = first; i < group.inputs.size(); ++i)
    if (group.inputs[i] && !group.inputs[i]->is_constant()) return fmt::format("input {} is no constant", i);
  return "";
}

bool is_packable(const Value& v) { return v.dtype == DType::kFloat32 && v.shape.size() == 4; }

bool whole_blocks(const std::vector<const Value*>& parts, size_t axis) {
  return std::ranges::all_of(parts, [&](const Value* v) {
    return v && is_packable(*v) && (axis != 1 || (v->shape[1].is_const() && v->shape[1].int_value() % 8 == 0));
  });
}

std::vector<FormatChoice> same_formats(const Group& group, size_t data, bool packed) {
  bool constants = false;
  for (size_t i = 0; i < data; ++i) constants |= group.inputs[i]->is_constant();
  std::vector<FormatChoice> choices;
  // Constants are given in their own type, plain.
  const bool halves = !constants && all_may_be_half(group);
  packed &= !constants;
  if (halves) choices.push_back(same_format(group, data, half(kPlain)));
  if (halves && packed) choices.push_back(same_format(group, data, half(kNhwc8)));
  choices.push_back(same_format(group, data, kPlain));
  if (packed) choices.push_back(same_format(group, data, kNhwc8));
  return choices;
}

size_t axis_in(int64_t axis, size_t rank) {
  return static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(rank) : axis);
}

}  // namespace fovea::core::cuda
