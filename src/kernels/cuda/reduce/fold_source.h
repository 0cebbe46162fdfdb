// CUDA source for a reduction or a softmax with the chains in front of it and behind it. As in chains the text holds no
// sizes.
#pragma once

#include "kernels/cuda/eltwise/chain_source.h"
#include "kernels/cuda/reduce/fold_rules.h"

namespace fovea::core::cuda::fold {

inline constexpr int kBlock = 256;   // threads
inline constexpr int kHeld = 4;      // a softmax's vectors that a thread keeps in registers
inline constexpr int kOnTheWay = 4;  // a reduction's vectors that a thread asks for before it uses the first

// A line is what one fold goes over: of `length` elements, there are `lines`. In a block 2^log_parts threads share each
// line. chain.size and chain.stride: the loops over lines, `kept` of them, then those along a line.
using chain::Arguments;
#define FOVEA_FOLD_ARGUMENTS(...) \
  __VA_ARGS__                     \
  inline constexpr std::string_view kArgumentsText = #__VA_ARGS__;
FOVEA_FOLD_ARGUMENTS(struct FoldArguments {
  Arguments chain;
  void* parts;  // a reduction in two launches: what slices of lines came to, slice by slice
  unsigned lines, length;
  unsigned slice, slices;  // elements of a slice, and how many slices a line has
  int log_parts, kept;
  int columns;  // neighbouring threads and vectors: of neighbouring lines, not along them
  int last;     // the second launch
  int held;     // a softmax: lines stay in registers
};)
#undef FOVEA_FOLD_ARGUMENTS

// Defines the kernel `fold`; `chain` has its front.
std::string source(const chain::Chain& chain, const Rule& rule);

// Bytes of what one slice comes to, at most.
inline constexpr int64_t kPartBytes = 8;

}  // namespace fovea::core::cuda::fold
