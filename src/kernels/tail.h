// What may follow a convolution or a matrix product inside the same call: [activation] [+ residual] [activation].
#pragma once

#include "kernels/kernel.h"

namespace fovea::core {

struct Tail {
  size_t inputs = 0;      // of the anchor; missing ones become null
  int bias = -1;          // which of them a constant row that is added right behind becomes, if it is absent; -1: none
  bool residual = false;  // takes one Add of another tensor of the output's shape
  bool (*activation)(const Node& node) = nullptr;  // does the row compute what this node does to its input 0?
};

// The anchor alone, and every longer group that its row could take, the largest first. The residual, where there is
// one, becomes the group's last input.
std::vector<Group> match_with_tail(const Graph& graph, const Node& anchor, const Tail& tail);

// The other operand of a node that adds a constant row (one number for each element of the last axis) to `value`.
const Value* added_row(const Node& node, const Value* value);

}  // namespace fovea::core
