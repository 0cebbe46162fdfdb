// A graph evaluated value by value with the reference kernels: constant folding, --verify, compare, the test oracle.
#pragma once

#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "ir/graph.h"
#include "kernels/context.h"

namespace fovea::core {

struct EvaluateOptions {
  // What outputs may take at once; inputs and constants are not counted. Hostile sizes become an error, not a crash.
  int64_t max_bytes = int64_t{8} << 30;
  int threads = 1;
  // Called with every node that has run (those of regions too) and its outputs; null where nobody wants one. An error
  // ends the evaluation.
  std::function<Status(const Node&, std::span<const TensorPtr>)> observer;
};

struct GraphOptions : EvaluateOptions {
  bool keep_all = false;  // keep every value of the graph, not only its outputs
};

struct Evaluation {
  std::vector<TensorPtr> outputs;
  // keep_all: every value with its tensor, inputs and constants included; those of regions are not kept.
  std::unordered_map<const Value*, TensorPtr> values;
};

// One node on concrete inputs (null where absent). Sizes come from the node's own inference with the inputs as
// constants.
Result<std::vector<TensorPtr>> evaluate_node(const Node& node, std::span<const TensorPtr> inputs,
                                             const EvaluateOptions& options = {});

// A whole graph. Inputs are checked against what the graph declares.
Result<Evaluation> evaluate_graph(const Graph& graph, std::span<const TensorPtr> inputs,
                                  const GraphOptions& options = {});

}  // namespace fovea::core
