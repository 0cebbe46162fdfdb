#include "kernels/cuda/conv/activation.h"

#include <limits>

namespace fovea::core::cuda {

std::optional<ClipBounds> clip_bounds(const Node& node) {
  ClipBounds c{-std::numeric_limits<float>::infinity(), std::numeric_limits<float>::infinity()};
  for (size_t i = 1; i <= 2; ++i) {
    const Value* bound = node.input(i);
    if (!bound) continue;
    if (!bound->constant || bound->constant->count() != 1) return std::nullopt;
    (i == 1 ? c.low : c.high) = static_cast<float>(bound->constant->to_doubles()[0]);
  }
  if (!(c.low <= c.high)) return std::nullopt;
  return c;
}

}  // namespace fovea::core::cuda
