// Reads the text form (ir/text.h) back. The text may come from anywhere: errors give line and column, and nothing in it
// can make the parser recurse or allocate without bound.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "ir/graph.h"

namespace fovea::core {

struct ParseOptions {
  int64_t max_constant_bytes = int64_t{1} << 30;  // all constants together
  // Finds a constant that the text has only the digest of; without it such a text is an error.
  std::function<TensorPtr(DType type, const Dims& dims, uint64_t digest)> find_constant;
};

// Values whose type is left out are inferred. Beyond what print() writes, a constant may be `random(seed)`: normally
// distributed numbers (integers in [0, 10), bools), the same for the same seed everywhere.
Result<std::unique_ptr<Graph>> parse(std::string_view text, OpLookup ops, const ParseOptions& options = {});

}  // namespace fovea::core
