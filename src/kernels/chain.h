// Which element-wise operators follow each other in one kernel; what a link is, each device's row says.
#pragma once

#include "kernels/kernel.h"

namespace fovea::core {

struct ChainRules {
  size_t most_nodes = 32;
  bool (*is_link)(const Node& node) = nullptr;    // an operator of such chains, whatever its operands
  bool (*is_binary)(const Node& node) = nullptr;  // of a link: two operands alike
  // Do this node's operands fit, `chained` (or null: the anchor) being the one that the chain brings?
  bool (*fits)(const Node& node, const Value* chained) = nullptr;
  bool (*within_limits)(const Group& group) =
      nullptr;  // its inputs with those of the next node, which is not yet there
};

// Appends to `groups`, which has one, that one with what follows it in a row without another user: a node more each
// time. A product's residual is left to the product.
void grow_chain(const Graph& graph, const ChainRules& rules, std::vector<Group>& groups);
// The anchor and what follows it, the largest group first.
std::vector<Group> match_chain(const Graph& graph, const Node& anchor, const ChainRules& rules);

// One element, whatever the rank.
bool is_scalar(const Value& value);

}  // namespace fovea::core
