// How the work of a fold is divided among threads and blocks.
#pragma once

#include <cstdint>

namespace fovea::core::cuda::fold {

struct Division {
  int log_parts = 0;   // threads of a line, as a power of two
  int64_t blocks = 0;  // for all lines
  int64_t slice = 0;   // elements of a slice
  int64_t slices = 1;
};

// `lines` of `length` elements, in vectors of `lanes`: of neighbouring lines where `columns`, else along them.
Division divide_reduction(int64_t lines, int64_t length, bool columns, int64_t lanes);
Division divide_softmax(int64_t lines, int64_t length, bool columns, int64_t lanes);
// The slices of each line.
Division divide_slices(int64_t lines, int64_t slices);

// May a thread keep its part of each line in registers?
bool is_held(const Division& d, int64_t length, bool columns, int64_t lanes);

}  // namespace fovea::core::cuda::fold
