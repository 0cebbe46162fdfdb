#include "kernels/cuda/conv/overlap.h"

#include <algorithm>

namespace fovea::core::cuda {

// With a share f of the pixels first, the result must begin max(f to, to - f from) in front of the input: least where
// both are the same.
Overlap Overlap::of(int64_t pixels, int64_t from_bytes, int64_t to_bytes, int64_t least_bytes) {
  constexpr int64_t kTile = 256;  // whole tiles of whatever kernel
  const double share = static_cast<double>(to_bytes) / static_cast<double>(to_bytes + from_bytes);
  const int64_t first = (static_cast<int64_t>(share * static_cast<double>(pixels)) / kTile + 1) * kTile;
  const bool worth_it = first < pixels && pixels * (from_bytes + to_bytes) >= least_bytes;
  return {pixels, worth_it ? first : 0, from_bytes, to_bytes};
}

int64_t Overlap::lead() const {
  return first ? std::max(first * to_bytes, pixels * to_bytes - first * from_bytes) : -1;
}

}  // namespace fovea::core::cuda
