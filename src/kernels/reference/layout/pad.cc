#include "ops/pad.h"

#include "kernels/reference/layout/copy.h"

namespace fovea::core {
namespace {

// The index of a source that is continued beyond its ends as the mode says; size > 0.
int64_t continued(int64_t i, int64_t size, PadMode mode) {
  if (i >= 0 && i < size) return i;
  if (mode == PadMode::kEdge) return i < 0 ? 0 : size - 1;
  const int64_t period = mode == PadMode::kWrap ? size : std::max<int64_t>(1, 2 * (size - 1));
  int64_t r = i % period;
  if (r < 0) r += period;
  return r < size ? r : period - r;
}

// Every output element from the source index of each dimension.
void copy_by_index(const TensorRef& y, const StridedBytes& to, const StridedBytes& from,
                   const std::array<int64_t*, kMaxRank>& index, int bytes) {
  const auto rank = static_cast<size_t>(y.rank), rows = rank - 1;
  SmallShape outer = SmallShape::of(y);
  outer.rank = rows;
  const int64_t columns = y.dims[rows];
  std::array<int64_t, kMaxRank> at{};
  dispatch_size(bytes, [&](auto tag) {
    using U = typename decltype(tag)::type;
    for (int64_t r = span_product(outer.span()); r > 0; --r) {
      int64_t t = 0, f = 0;
      for (size_t d = 0; d < rows; ++d) t += at[d] * to.strides[d], f += index[d][at[d]] * from.strides[d];
      auto* row = reinterpret_cast<U*>(to.data) + t;
      const auto* source = reinterpret_cast<const U*>(from.data) + f;
      for (int64_t i = 0; i < columns; ++i) row[i * to.strides[rows]] = source[index[rows][i] * from.strides[rows]];
      for (size_t d = rows; d-- > 0;) {
        if (++at[d] < y.dims[d]) break;
        at[d] = 0;
      }
    }
  });
}

}  // namespace

Status reference_Pad(KernelContext& c) {
  const PadAttrs& attrs = c.attrs<PadAttrs>();
  const TensorRef& x = c.in(0);
  const auto rank = static_cast<size_t>(x.rank), count = attrs.axes.size();
  if (c.in(1).dims[0] != static_cast<int64_t>(2 * count))
    return invalid_argument("{} pads for {} axes", c.in(1).dims[0], count);
  const int64_t* pads = load<int64_t>(c, c.in(1));
  std::array<int64_t, kMaxRank> before{}, after{};
  for (size_t i = 0; i < count; ++i) {
    const size_t a = axis_of(attrs.axes[i], x.rank);
    before[a] = pads[i], after[a] = pads[i + count];
  }
  // Negative pads crop first; what is left is padded.
  SmallShape shape = SmallShape::of(x), core = shape;
  StridedBytes from = readable(c, x);
  const int bytes = element_size(x.dtype);
  constexpr int64_t kMost = int64_t{1} << 40;
  int64_t skipped = 0;
  for (size_t d = 0; d < rank; ++d) {
    if (std::min(before[d], after[d]) < -kMost || std::max(before[d], after[d]) > kMost)
      return invalid_argument("dimension {}: pads {} and {}", d, before[d], after[d]);
    const int64_t cut_before = std::max<int64_t>(0, -before[d]), cut_after = std::max<int64_t>(0, -after[d]);
    shape[d] = x.dims[d] + before[d] + after[d];
    core[d] = x.dims[d] - cut_before - cut_after;
    if (shape[d] < 0)
      return invalid_argument("dimension {}: size {} with pads {} and {}", d, x.dims[d], before[d], after[d]);
    skipped += cut_before * from.strides[d];
  }
  FOVEA_TRY(ensure_shape(c, 0, shape.span()));
  const TensorRef& y = c.out();
  if (y.count() == 0) return {};
  StridedBytes to = writable(c, y);

  if (attrs.mode == PadMode::kConstant) {
    StridedBytes fill;
    Bits128 zero{};
    fill.data = reinterpret_cast<std::byte*>(&zero);
    if (c.has(2) && c.in(2).count() != 1) return invalid_argument("{} constants to pad with", c.in(2).count());
    if (c.has(2)) fill.data = readable(c, c.in(2)).data;
    copy_strided(shape.span(), to, fill, bytes, c.threads);
    // What is left of the input, without what the other side's crop takes from it.
    int64_t offset = 0, source = 0;
    for (size_t d = 0; d < rank; ++d) {
      const int64_t first = std::max<int64_t>(0, -before[d]), last = std::min(x.dims[d], x.dims[d] + after[d]);
      core[d] = std::max<int64_t>(0, last - first);
      source += first * from.strides[d], offset += std::max<int64_t>(0, before[d]) * to.strides[d];
    }
    if (span_product(core.span()) > 0)
      copy_strided(core.span(), to.at(offset, bytes), from.at(source, bytes), bytes, c.threads);
    finish_writable(c, y, to);
    return {};
  }
  if (rank == 0) {
    copy_strided({}, to, from, bytes, 1);
    finish_writable(c, y, to);
    return {};
  }
  std::array<int64_t*, kMaxRank> index{};
  for (size_t d = 0; d < rank; ++d) {
    if (core[d] <= 0)
      return invalid_argument("dimension {}: nothing is left to continue after cropping size {} by {} and {}", d,
                              x.dims[d], before[d], after[d]);
    index[d] = c.scratch->array<int64_t>(shape[d]);
    for (int64_t i = 0; i < shape[d]; ++i)
      index[d][i] = continued(i - std::max<int64_t>(0, before[d]), core[d], attrs.mode);
  }
  copy_by_index(y, to, from.at(skipped, bytes), index, bytes);
  finish_writable(c, y, to);
  return {};
}

}  // namespace fovea::core
