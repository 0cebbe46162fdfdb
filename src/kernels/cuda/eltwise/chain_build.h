// A group's chain: its source, and what it is launched with.
#pragma once

#include "kernels/cuda/common.h"
#include "kernels/cuda/eltwise/chain_source.h"

namespace fovea::core::cuda::chain {

struct Prepared {
  Chain chain;
  std::vector<size_t> inputs;  // the group's, of each operand
  std::vector<int64_t> numbers;
  cudaKernel_t kernel = nullptr;  // build() leaves it to be compiled
};
Result<Prepared> build(const PrepareContext& c);

int64_t bytes_of(Type type);  // of an element as stored

}  // namespace fovea::core::cuda::chain
