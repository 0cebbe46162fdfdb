// Moving elements between strided places: what Transpose, Slice, Expand, Concat, Split, Pad and the like have in
// common.
#pragma once

#include "kernels/reference/reference.h"

namespace fovea::core {

using Strides = std::array<int64_t, kMaxRank>;

// Elements of one size with a stride (in elements; 0 and negative ones are fine) for each dimension.
struct StridedBytes {
  std::byte* data = nullptr;
  Strides strides{};
  StridedBytes at(int64_t offset, int element_bytes) const { return {data + offset * element_bytes, strides}; }
};

// to[i] = from[i] for every index i of `shape`.
void copy_strided(std::span<const int64_t> shape, const StridedBytes& to, const StridedBytes& from, int element_bytes,
                  int threads);

// A tensor's elements where they lie (4- and 2-bit ones unpacked first), for reading or to be written and then
// finished.
StridedBytes readable(KernelContext& c, const TensorRef& t);
StridedBytes writable(KernelContext& c, const TensorRef& t);
void finish_writable(KernelContext& c, const TensorRef& t, const StridedBytes& written);

// The whole of a kernel that copies: output 0 gets `shape` and the elements of `from`.
struct SmallShape;
Status copy_to_output(KernelContext& c, const SmallShape& shape, const StridedBytes& from);

// Output i gets this shape; it is left alone where it has it already.
Status ensure_shape(KernelContext& c, size_t i, std::span<const int64_t> shape);
inline Status ensure_shape(KernelContext& c, size_t i, std::initializer_list<int64_t> shape) {
  return ensure_shape(c, i, std::span<const int64_t>(shape.begin(), shape.size()));
}

// A shape that a kernel works out, in place of a vector: nothing is allocated in a run.
struct SmallShape {
  std::array<int64_t, kMaxRank> dims{};
  size_t rank = 0;
  static SmallShape of(const TensorRef& t) { return {t.dims, static_cast<size_t>(t.rank)}; }
  int64_t& operator[](size_t i) { return dims[i]; }
  Status push(int64_t size);
  std::span<const int64_t> span() const { return {dims.data(), rank}; }
};

// An index in [-size, size) as one in [0, size); an error that names both otherwise.
inline Status normal_index(int64_t& index, int64_t size) {
  if (index < -size || index >= size) return invalid_argument("index {} is outside [-{}, {})", index, size, size);
  if (index < 0) index += size;
  return {};
}
int64_t span_product(std::span<const int64_t> dims);
inline size_t axis_of(int64_t axis, int rank) { return static_cast<size_t>(axis < 0 ? axis + rank : axis); }

}  // namespace fovea::core
