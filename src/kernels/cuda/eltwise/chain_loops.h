// The loops that a generated kernel goes over, and how far each operand moves with them.
#pragma once

#include <array>

#include "kernels/cuda/eltwise/chain_source.h"
#include "kernels/kernel.h"

namespace fovea::core::cuda::chain {

inline constexpr int64_t kMostIndices = (int64_t{1} << 31) - 16;  // of a launch

using Steps = std::array<int64_t, kMostOperands + 1>;  // of each operand and of the output

// Outermost first; one that every operand and the output goes on with where the one in front of it ends is joined to
// it.
struct Loops {
  size_t rank = 0;
  std::array<int64_t, kMaxRank> size{};
  std::array<std::array<int64_t, kMaxRank>, kMostOperands + 1> strides{};

  void add(int64_t n, const Steps& steps);
};

Division division_of(int64_t d);
bool aligned(const void* p, int64_t bytes);

// Strides of an operand along the dimensions of `to`; 0 where it is repeated.
Result<std::array<int64_t, kMaxRank>> broadcast(std::span<const int64_t> shape,
                                                const std::array<int64_t, kMaxRank>& strides,
                                                std::span<const int64_t> to, size_t input);

}  // namespace fovea::core::cuda::chain
