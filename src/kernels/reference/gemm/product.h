// Sums of products, for matrix products and convolutions: a block of columns at a time, so that a block's right side is
// packed once and used by every row. Sums are in double, of integers modulo 2^64.
#pragma once

#include "kernels/reference/reference.h"

namespace fovea::core {

template <typename C>
using Sum = std::conditional_t<std::is_integral_v<C>, uint64_t, double>;

inline constexpr int64_t kColumns = 16;  // of a block; a block with fewer is padded

namespace product_detail {

// As many sums as fit into registers, also on the oldest x86-64: R rows by 4 columns.
template <int R, typename C>
void multiply_rows(const C* a, int64_t row_step, int64_t depth_step, const Sum<C>* b, int64_t depth, Sum<C>* sums) {
  using S = Sum<C>;
  typedef S Four __attribute__((vector_size(4 * sizeof(S))));
  for (int64_t column = 0; column < kColumns; column += 4) {
    Four total[R] = {};
    const S* x = b + column;
    const C* w = a;
    for (int64_t k = 0; k < depth; ++k, x += kColumns, w += depth_step) {
      Four v;
      std::memcpy(&v, x, sizeof(v));
      for (int r = 0; r < R; ++r) total[r] += static_cast<S>(w[r * row_step]) * v;
    }
    for (int r = 0; r < R; ++r) std::memcpy(sums + r * kColumns + column, &total[r], sizeof(Four));
  }
}

}  // namespace product_detail

// sums[r][j] = sum over k of a[r * row_step + k * depth_step] * b[k][j]; b: [depth][kColumns], sums: [rows][kColumns]
template <typename C>
void multiply_block(const C* a, int64_t rows, int64_t row_step, int64_t depth_step, const Sum<C>* b, int64_t depth,
                    Sum<C>* sums) {
  using product_detail::multiply_rows;
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) multiply_rows<4>(a + r * row_step, row_step, depth_step, b, depth, sums + r * kColumns);
  for (; r < rows; ++r) multiply_rows<1>(a + r * row_step, row_step, depth_step, b, depth, sums + r * kColumns);
}

// f(block, memory) for every block; each thread has `words` eight-byte words of its own.
template <typename F>
void for_blocks(KernelContext& c, int64_t blocks, int64_t words, F f) {
  if (blocks == 0) return;
  const int64_t workers = std::clamp<int64_t>(c.threads, 1, blocks);
  auto* memory = static_cast<std::byte*>(c.scratch->bytes(workers * words * 8));
  parallel_for(c.threads, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; ++w)
      for (int64_t block = w; block < blocks; block += workers) f(block, memory + w * words * 8);
  });
}

// A matrix inside a dense tensor.
template <typename C>
struct Matrix {
  const C* data;
  int64_t rows, columns, row_step, column_step;
};

// One block of columns of a * b: f(row, column, sum) for each.
template <typename C, typename F>
void multiply_columns(const Matrix<C>& a, const Matrix<C>& b, int64_t first, std::byte* memory, F f) {
  using S = Sum<C>;
  auto* packed = reinterpret_cast<S*>(memory);
  S* sums = packed + b.rows * kColumns;
  const int64_t used = std::min(kColumns, b.columns - first);
  for (int64_t k = 0; k < b.rows; ++k)
    for (int64_t j = 0; j < kColumns; ++j)
      packed[k * kColumns + j] = j < used ? static_cast<S>(b.data[k * b.row_step + (first + j) * b.column_step]) : S(0);
  multiply_block(a.data, a.rows, a.row_step, a.column_step, packed, b.rows, sums);
  for (int64_t r = 0; r < a.rows; ++r)
    for (int64_t j = 0; j < used; ++j) f(r, first + j, sums[r * kColumns + j]);
}
template <typename C>
int64_t multiply_words(const Matrix<C>& a, const Matrix<C>& b) {
  return (a.rows + b.rows) * kColumns;
}
inline int64_t column_blocks(int64_t columns) { return (columns + kColumns - 1) / kColumns; }

}  // namespace fovea::core
