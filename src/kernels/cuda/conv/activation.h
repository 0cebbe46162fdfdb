// What the convolutions of this folder read of the node that follows them.
#pragma once

#include <optional>

#include "ir/graph.h"

namespace fovea::core::cuda {

// The bounds of a Clip, if they are constants in order; infinite where there are none.
struct ClipBounds {
  float low, high;
};
std::optional<ClipBounds> clip_bounds(const Node& node);

}  // namespace fovea::core::cuda
