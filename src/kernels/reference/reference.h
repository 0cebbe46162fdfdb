// The reference kernels: one an operator, right for every type and shape, slow. They serve constant folding, the test
// oracle and the CPU fallback. They refuse nothing but strings and complex numbers.
//
// A kernel loads its inputs through load<C>() into dense arrays of a compute type C (float for float32 and smaller,
// double for float64 and for sums, int64_t or uint64_t for integers and bool), computes, and rounds once in store().
#pragma once

#include <cstring>

#include "kernels/context.h"

namespace fovea::core {

#define FOVEA_OP(Name, file, family) Status reference_##Name(KernelContext& c);
#define FOVEA_CONTROL(Name, file)
#define FOVEA_IMPORT(Name, file)
#include "ops/ops.inc"
#undef FOVEA_OP
#undef FOVEA_CONTROL
#undef FOVEA_IMPORT

using ReferenceKernel = Status (*)(KernelContext& c);
// Of an operator by its canonical name; null for control flow.
ReferenceKernel find_reference(std::string_view op_name);

// Calls f(TypeTag<C>) with the compute type of `type`: float, double, int64_t or uint64_t.
template <typename F>
void dispatch_compute(DType type, F&& f) {
  if (type == DType::kFloat64) f(TypeTag<double>{});
  else if (is_float(type)) f(TypeTag<float>{});
  else if (type == DType::kUInt64) f(TypeTag<uint64_t>{});
  else f(TypeTag<int64_t>{});
}

// The elements of `t`, row-major, as C in {float, double, int64_t, uint64_t, uint8_t for bool}. Points into the tensor
// where it is dense and of that type already, into scratch otherwise. Float to integer truncates.
template <typename C>
const C* load(KernelContext& c, const TensorRef& t);

// Writes `values` (row-major, as many as t has elements) to t in its dtype and strides, rounding once; integers wrap,
// float to integer truncates (NaN and out of range give what x86 gives), bool is != 0.
template <typename C>
void store(KernelContext& c, const TensorRef& t, const C* values);

// Where to compute output t: its own memory if it is dense and of type C, else scratch that store() copies from.
template <typename C>
C* result_buffer(KernelContext& c, const TensorRef& t) {
  if (t.dtype == dtype_of<C>() && t.dense()) return static_cast<C*>(t.data);
  return c.scratch->array<C>(t.count());
}
template <typename C>
void finish(KernelContext& c, const TensorRef& t, const C* values) {
  if (static_cast<const void*>(values) != t.data) store(c, t, values);
}

// ---- moving elements without looking at them: dense arrays of unsigned integers of the element's size.
// 4- and 2-bit elements are unpacked to one byte each.
int element_size(DType type);  // bytes in that form: 1, 2, 4, 8 or 16
const std::byte* load_elements(KernelContext& c, const TensorRef& t);
void pack_elements(const TensorRef& t, std::byte* to);  // the same, without strides, elsewhere; not for sub-byte types
std::byte* element_buffer(KernelContext& c, const TensorRef& t);  // t's own memory where it can be, else scratch
void finish_elements(KernelContext& c, const TensorRef& t, const std::byte* elements);

// Calls f(TypeTag<U>) with an unsigned type of that many bytes (16: a struct).
struct Bits128 {
  uint64_t lo, hi;
};
template <typename F>
void dispatch_size(int bytes, F&& f) {
  switch (bytes) {
    case 1: f(TypeTag<uint8_t>{}); break;
    case 2: f(TypeTag<uint16_t>{}); break;
    case 4: f(TypeTag<uint32_t>{}); break;
    case 8: f(TypeTag<uint64_t>{}); break;
    default: f(TypeTag<Bits128>{}); break;
  }
}

// Walks a shape in row-major order while keeping offsets into several operands up to date.
class Walker {
 public:
  // strides[k]: of operand k along each dimension of `shape` (0 where it is broadcast)
  Walker(std::span<const int64_t> shape, std::initializer_list<std::array<int64_t, kMaxRank>> strides);
  int64_t offset(size_t operand) const { return offsets_[operand]; }
  void next();
  int64_t count() const { return count_; }

 private:
  static constexpr size_t kOperands = 4;
  size_t rank_, operands_;
  int64_t count_ = 1;
  std::array<int64_t, kMaxRank> shape_{}, index_{};
  std::array<std::array<int64_t, kMaxRank>, kOperands> strides_{};
  std::array<int64_t, kOperands> offsets_{};
};
// Row-major strides of `from`, aligned to the right of `to` and 0 where broadcast.
std::array<int64_t, kMaxRank> broadcast_strides(std::span<const int64_t> from, std::span<const int64_t> to);
std::array<int64_t, kMaxRank> row_major_strides(std::span<const int64_t> shape);

}  // namespace fovea::core
