// When a node runs: never (nobody needs it, or its result is known as expressions), once per shape, or in every run.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "ir/graph.h"

namespace fovea::core {

enum class Phase : uint8_t { kNever, kShape, kRun };

struct Phases {
  std::unordered_map<const Node*, Phase> nodes;
  // Values that are written from their known elements; no node runs for them.
  std::unordered_set<const Value*> materialised;
  Phase of(const Node& node) const {
    auto it = nodes.find(&node);
    return it == nodes.end() ? Phase::kNever : it->second;
  }
  // Constant for a given input shape: constants, materialised values without data-dependent sizes, results of the shape
  // phase.
  bool shape_only(const Value& value) const;
};

Phases find_phases(const Graph& graph);  // regions included

// Reshape and its kin without data-dependent result: the same elements under another shape, a view where memory allows.
bool is_reshape(const Node& node);

}  // namespace fovea::core
