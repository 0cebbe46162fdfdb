// Integer tensors that are affine in their coordinates: ranges, grids and what views make of them. Exporters write
// `x[:, a:b]` as such a tensor of indices, too large to know element by element.
#pragma once

#include <optional>
#include <vector>

#include "ir/graph.h"

namespace fovea::core {

// element(i0, i1, ...) == base + sum over d of strides[d] * id. Along a dimension of size 1 the stride is 0.
struct AffineIndex {
  int64_t base = 0;
  std::vector<int64_t> strides;
};

// Of an int64 value, by the nodes that make it; nullopt where that is not affine or not seen to be.
std::optional<AffineIndex> affine_index(const Value* value);

}  // namespace fovea::core
