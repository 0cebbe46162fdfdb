// Nodes whose outputs are their input's elements with other strides.
#pragma once

#include <optional>

#include "ir/graph.h"

namespace fovea::core {

// In elements, of each dimension; and where the first element lies, from the start of the memory.
struct Strides {
  Shape pitch;
  Dim offset = 0;
};

Strides dense_strides(const Shape& shape);

bool is_strided_view(const Node& n);  // Slice, Split, Transpose or Expand
// Are elements that lie side by side moved in runs, so that a copy, should a reader want one, costs what the node
// would?
bool copies_runs(const Node& n);
// Output `output` of n in the memory of input 0, which lies there with `source`; nothing where strides cannot say it
// for every size.
std::optional<Strides> view_of(const Node& n, size_t output, const Strides& source);

}  // namespace fovea::core
