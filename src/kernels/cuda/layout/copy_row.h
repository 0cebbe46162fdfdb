// What rows that copy elements have in common: groups, refusals, formats.
#pragma once

#include "kernels/cuda/common.h"

namespace fovea::core::cuda {

// The node alone, without those inputs that only sizes are taken from, or nothing.
std::vector<Group> match_without(const Node& anchor, std::initializer_list<size_t> unread);

std::string element_refusal(const Group& group);
// Inputs from `first` on are read when the kernel is prepared.
std::string constant_refusal(const Group& group, size_t first = 1);

bool is_packable(const Value& value);
// Are the borders between these parts along `axis` borders of blocks of eight channels?
bool whole_blocks(const std::vector<const Value*>& parts, size_t axis);

// Inputs that are numbers for prepare() stay on the host; `data` of the inputs are the tensors that are copied.
std::vector<FormatChoice> same_formats(const Group& group, size_t data, bool packed);

size_t axis_in(int64_t axis, size_t rank);

}  // namespace fovea::core::cuda
