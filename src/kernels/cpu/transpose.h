// Transposes of small matrices, the inner step of every change of layout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea::core {

// to[c * to_row + r] = from[r * from_row + c]
template <typename T>
void transpose_generic(const T* from, int64_t from_row, T* to, int64_t to_row, int64_t rows, int64_t columns) {
  constexpr int64_t kTile = 16;  // a tile's rows stay in the first-level cache while its columns are written
  for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
    const int64_t r1 = r0 + kTile < rows ? r0 + kTile : rows;
    for (int64_t c = 0; c < columns; ++c)
      for (int64_t r = r0; r < r1; ++r) to[c * to_row + r] = from[r * from_row + c];
  }
}

// The same for 4-byte elements in blocks of 8 x 8; needs AVX2.
void transpose_avx2(const uint32_t* from, int64_t from_row, uint32_t* to, int64_t to_row, int64_t rows,
                    int64_t columns);

}  // namespace fovea::core
