#include "kernels/reference/gemm/product.h"

namespace fovea::core {
namespace {

struct Sizes {
  int64_t rows, depth, columns;
  std::array<int64_t, kMaxRank> batch{}, a_strides{}, b_strides{};  // strides in matrices
  size_t batch_rank = 0;
  int64_t batches = 1;
};

// What the symbols of the shapes turned out to be.
Result<Sizes> sizes_of(const TensorRef& a, const TensorRef& b) {
  auto size = [](const TensorRef& t, int from_end) { return t.dims[static_cast<size_t>(t.rank - from_end)]; };
  Sizes s{.rows = a.rank == 1 ? 1 : size(a, 2), .depth = size(a, 1), .columns = b.rank == 1 ? 1 : size(b, 1)};
  if (s.depth != size(b, b.rank == 1 ? 1 : 2))
    return invalid_argument("cannot multiply [{}] with [{}]", fmt::join(a.shape(), ","), fmt::join(b.shape(), ","));
  const auto a_batch = a.shape().first(static_cast<size_t>(std::max(0, a.rank - 2)));
  const auto b_batch = b.shape().first(static_cast<size_t>(std::max(0, b.rank - 2)));
  s.batch_rank = std::max(a_batch.size(), b_batch.size());
  for (size_t i = 0; i < s.batch_rank; ++i) {
    const size_t end = s.batch_rank - i;  // places from the last one
    const int64_t x = end <= a_batch.size() ? a_batch[a_batch.size() - end] : 1,
                  y = end <= b_batch.size() ? b_batch[b_batch.size() - end] : 1;
    if (x != y && x != 1 && y != 1)
      return invalid_argument("cannot broadcast [{}] with [{}]", fmt::join(a.shape(), ","), fmt::join(b.shape(), ","));
    s.batch[i] = x == 1 ? y : x;
    s.batches *= s.batch[i];
  }
  const std::span<const int64_t> batch(s.batch.data(), s.batch_rank);
  s.a_strides = broadcast_strides(a_batch, batch), s.b_strides = broadcast_strides(b_batch, batch);
  return s;
}

template <typename C>
void matmul(KernelContext& c, const Sizes& s) {
  const C *a = load<C>(c, c.in(0)), *b = load<C>(c, c.in(1));
  C* y = result_buffer<C>(c, c.out());
  const int64_t blocks = column_blocks(s.columns);
  auto matrix_of = [&](int64_t batch, const std::array<int64_t, kMaxRank>& strides) {
    int64_t index = 0;
    for (size_t i = s.batch_rank; i-- > 0; batch /= s.batch[i]) index += batch % s.batch[i] * strides[i];
    return index;
  };
  for_blocks(c, s.batches * blocks, (s.rows + s.depth) * kColumns, [&](int64_t block, std::byte* memory) {
    const int64_t batch = block / blocks;
    const Matrix<C> left{a + matrix_of(batch, s.a_strides) * s.rows * s.depth, s.rows, s.depth, s.depth, 1};
    const Matrix<C> right{b + matrix_of(batch, s.b_strides) * s.depth * s.columns, s.depth, s.columns, s.columns, 1};
    C* out = y + batch * s.rows * s.columns;
    multiply_columns(left, right, block % blocks * kColumns, memory,
                     [&](int64_t r, int64_t j, auto sum) { out[r * s.columns + j] = static_cast<C>(sum); });
  });
  finish(c, c.out(), y);
}

}  // namespace

Status reference_MatMul(KernelContext& c) {
  FOVEA_TRY_SET(Sizes s, sizes_of(c.in(0), c.in(1)));
  if (c.out().count() != s.batches * s.rows * s.columns)
    return internal_error("a product of {} elements into an output of {}", s.batches * s.rows * s.columns,
                          c.out().count());
  dispatch_compute(c.in(0).dtype, [&](auto tag) { matmul<typename decltype(tag)::type>(c, s); });
  return {};
}

}  // namespace fovea::core
