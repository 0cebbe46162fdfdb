#include <immintrin.h>

#include "kernels/cpu/transpose.h"

namespace fovea::core {
namespace {

// Pairs, then fours, then the two halves change places.
void block(const float* from, int64_t from_row, float* to, int64_t to_row) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps(from + i * from_row);
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
    a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * to_row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * to_row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}

}  // namespace

void transpose_avx2(const uint32_t* from, int64_t from_row, uint32_t* to, int64_t to_row, int64_t rows,
                    int64_t columns) {
  const int64_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
  // Shuffles of floats move bits: a signalling NaN stays one.
  for (int64_t c = 0; c < whole_columns; c += 8)
    for (int64_t r = 0; r < whole_rows; r += 8)
      block(reinterpret_cast<const float*>(from + r * from_row + c), from_row,
            reinterpret_cast<float*>(to + c * to_row + r), to_row);
  if (whole_columns < columns)
    transpose_generic(from + whole_columns, from_row, to + whole_columns * to_row, to_row, whole_rows,
                      columns - whole_columns);
  if (whole_rows < rows)
    transpose_generic(from + whole_rows * from_row, from_row, to + whole_rows, to_row, rows - whole_rows, columns);
}

}  // namespace fovea::core
