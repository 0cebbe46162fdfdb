// One node with its reference kernel: concrete sizes, memory for the outputs, the call.
#pragma once

#include "interpreter/interpreter.h"

namespace fovea::core {

class NodeRunner {
 public:
  explicit NodeRunner(const EvaluateOptions& options) : options_(options) {}

  // `used`: bytes of other values that are alive.
  Result<std::vector<TensorPtr>> run(const Node& node, std::span<const TensorPtr> inputs, int64_t used);

 private:
  const EvaluateOptions& options_;
  Scratch scratch_;
};

// Names the node in a message that does not.
Status at_node(const Status& status, const Node& node);

}  // namespace fovea::core
