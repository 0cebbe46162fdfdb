// The verifier: what every pass may rely on and must leave behind.
#pragma once

#include "ir/graph.h"

namespace fovea::core {

// Checks a graph and its regions: names and ids unique, use lists and producers consistent, nodes in topological order,
// inputs, outputs, attributes and regions as the operator's table row says, types and shapes inferred, constants of
// their declared type, sizes declared and each data-dependent one defined by one node before its first use. The first
// violation comes back as an Internal error that names the node or value: only fovea itself can have broken the graph.
Status verify(const Graph& graph);

}  // namespace fovea::core
