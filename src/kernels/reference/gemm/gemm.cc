#include "ops/gemm.h"

#include "kernels/reference/gemm/product.h"

namespace fovea::core {
namespace {

template <typename C>
Matrix<C> matrix_of(const C* data, const TensorRef& t, bool transposed) {
  const int64_t rows = t.dims[0], columns = t.dims[1];
  return transposed ? Matrix<C>{data, columns, rows, 1, columns} : Matrix<C>{data, rows, columns, columns, 1};
}

// alpha * sum + beta * addend, in the type of the sums where the factors are 1.
template <typename C>
C combine(const GemmAttrs& attrs, Sum<C> sum, const C* addend) {
  if constexpr (std::is_integral_v<C>) {
    if (attrs.alpha == 1 && attrs.beta == 1) return static_cast<C>(sum + (addend ? static_cast<uint64_t>(*addend) : 0));
    return static_cast<C>(attrs.alpha * static_cast<double>(static_cast<C>(sum)) +
                          (addend ? attrs.beta * static_cast<double>(*addend) : 0));
  } else {
    return static_cast<C>(attrs.alpha * sum + (addend ? attrs.beta * static_cast<double>(*addend) : 0));
  }
}

template <typename C>
void gemm(KernelContext& c, const GemmAttrs& attrs) {
  const auto a = matrix_of(load<C>(c, c.in(0)), c.in(0), attrs.transA),
             b = matrix_of(load<C>(c, c.in(1)), c.in(1), attrs.transB);
  const C* addend = c.has(2) ? load<C>(c, c.in(2)) : nullptr;
  const auto steps = c.has(2) ? broadcast_strides(c.in(2).shape(), c.out().shape()) : std::array<int64_t, kMaxRank>{};
  C* y = result_buffer<C>(c, c.out());
  for_blocks(c, column_blocks(b.columns), multiply_words(a, b), [&](int64_t block, std::byte* memory) {
    multiply_columns(a, b, block * kColumns, memory, [&](int64_t r, int64_t j, auto sum) {
      y[r * b.columns + j] = combine<C>(attrs, sum, addend ? addend + r * steps[0] + j * steps[1] : nullptr);
    });
  });
  finish(c, c.out(), y);
}

Status check(const KernelContext& c, const GemmAttrs& attrs) {
  const TensorRef &a = c.in(0), &b = c.in(1), &y = c.out();
  if (a.dims[attrs.transA ? 0 : 1] != b.dims[attrs.transB ? 1 : 0] || a.dims[attrs.transA ? 1 : 0] != y.dims[0] ||
      b.dims[attrs.transB ? 0 : 1] != y.dims[1])
    return invalid_argument("cannot multiply [{}] with [{}]", fmt::join(a.shape(), ","), fmt::join(b.shape(), ","));
  if (!c.has(2)) return {};
  const TensorRef& addend = c.in(2);
  for (int i = 1; i <= addend.rank; ++i) {
    const int64_t size = addend.dims[static_cast<size_t>(addend.rank - i)];
    if (i > 2 || (size != 1 && size != y.dims[static_cast<size_t>(2 - i)]))
      return invalid_argument("cannot broadcast [{}] to [{}]", fmt::join(addend.shape(), ","),
                              fmt::join(y.shape(), ","));
  }
  return {};
}

}  // namespace

Status reference_Gemm(KernelContext& c) {
  const auto& attrs = c.attrs<GemmAttrs>();
  FOVEA_TRY(check(c, attrs));
  dispatch_compute(c.in(0).dtype, [&](auto tag) { gemm<typename decltype(tag)::type>(c, attrs); });
  return {};
}

}  // namespace fovea::core
