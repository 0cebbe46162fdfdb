// What may follow a convolution or a matrix product inside the same call: [activation] [+ residual] [activation].
#pragma once

#include "kernels/cpu/onednn.h"

namespace fovea::core::onednn {

// The activation that `node` applies to its input 0, if oneDNN computes the same function; appended to `ops`.
bool append_activation(const Node& node, dnnl::post_ops& ops);

struct Tail {
  size_t inputs = 0;      // of the anchor; missing ones become null
  int bias = -1;          // which of them a constant row that is added right behind becomes, if it is absent; -1: none
  bool residual = false;  // takes one Add of another tensor of the output's shape
};

// The anchor alone, and every longer group that its row could take, the largest first. The residual, where there is
// one, becomes the group's last input.
std::vector<Group> match_with_tail(const Graph& graph, const Node& anchor, const Tail& tail);

// Of nodes[1..] of a group that match_with_tail made.
dnnl::post_ops post_ops_of(const Group& group);

}  // namespace fovea::core::onednn
