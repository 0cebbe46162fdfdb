// What may follow a convolution or a matrix product inside the same call of oneDNN.
#pragma once

#include "kernels/cpu/onednn.h"
#include "kernels/tail.h"

namespace fovea::core::onednn {

// The activation that `node` applies to its input 0, if oneDNN computes the same function; appended to `ops`.
bool append_activation(const Node& node, dnnl::post_ops& ops);

// core::match_with_tail with oneDNN's activations.
std::vector<Group> match_with_tail(const Graph& graph, const Node& anchor, Tail tail);

// Of nodes[1..] of a group that match_with_tail made.
dnnl::post_ops post_ops_of(const Group& group);

}  // namespace fovea::core::onednn
