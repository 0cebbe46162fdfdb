#include "kernels/reference/reference.h"

#include <cstring>

#include <unordered_map>

namespace fovea::core {
namespace {

// 8-bit types without a C++ type come here too: for them packing is plain indexing.
uint8_t small_bits(const TensorRef& t, int64_t i) { return packed_bits(t.dtype, t.data, i); }
void set_small_bits(const TensorRef& t, int64_t i, uint8_t bits) { set_packed_bits(t.dtype, t.data, i, bits); }

// A float converted to an integer as x86 does; only in-range values are C++'s to convert.
int64_t to_int64(double v) {
  return v >= -9223372036854775808.0 && v < 9223372036854775808.0 ? static_cast<int64_t>(v) : INT64_MIN;
}
int32_t to_int32(double v) { return v > -2147483649.0 && v < 2147483648.0 ? static_cast<int32_t>(v) : INT32_MIN; }

template <typename C, typename T>
C convert_in(T v) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) return convert_in<C>(static_cast<float>(v));
  else if constexpr (std::is_floating_point_v<T> && std::is_integral_v<C>) {
    if constexpr (std::is_same_v<C, uint64_t>)
      return v >= 9223372036854775808.0 && v < 18446744073709551616.0
                 ? static_cast<uint64_t>(v)
                 : static_cast<uint64_t>(to_int64(static_cast<double>(v)));
    else if constexpr (sizeof(C) <= 4 && !std::is_same_v<C, uint32_t>)
      return static_cast<C>(to_int32(static_cast<double>(v)));
    else return static_cast<C>(to_int64(static_cast<double>(v)));
  } else return static_cast<C>(v);
}

template <typename T, typename C>
T convert_out(C v) {
  if constexpr (std::is_same_v<T, bool>) return v != 0;
  else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) return T(static_cast<float>(v));
  else return convert_in<T>(v);
}

}  // namespace

std::array<int64_t, kMaxRank> row_major_strides(std::span<const int64_t> shape) {
  std::array<int64_t, kMaxRank> s{};
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0;) s[i] = stride, stride *= shape[i];
  return s;
}

std::array<int64_t, kMaxRank> broadcast_strides(std::span<const int64_t> from, std::span<const int64_t> to) {
  std::array<int64_t, kMaxRank> own = row_major_strides(from), s{};
  const size_t shift = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) s[i + shift] = from[i] == 1 ? 0 : own[i];
  return s;
}

Walker::Walker(std::span<const int64_t> shape, std::initializer_list<std::array<int64_t, kMaxRank>> strides)
    : rank_(shape.size()), operands_(strides.size()) {
  for (size_t i = 0; i < rank_; ++i) shape_[i] = shape[i], count_ *= shape[i];
  size_t k = 0;
  for (const auto& s : strides) strides_[k++] = s;
}

void Walker::next() {
  for (size_t i = rank_; i-- > 0;) {
    for (size_t k = 0; k < operands_; ++k) offsets_[k] += strides_[k][i];
    if (++index_[i] < shape_[i]) return;
    for (size_t k = 0; k < operands_; ++k) offsets_[k] -= strides_[k][i] * shape_[i];
    index_[i] = 0;
  }
}

template <typename C>
const C* load(KernelContext& c, const TensorRef& t) {
  if (t.dtype == dtype_of<C>() && t.dense()) return static_cast<const C*>(t.data);
  if (std::is_same_v<C, uint8_t> && t.dtype == DType::kBool && t.dense()) return static_cast<const C*>(t.data);
  C* out = c.scratch->array<C>(t.count());
  const int64_t n = t.count();
  bool done = dispatch_dtype(t.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = static_cast<const T*>(t.data);
    if (t.dense()) {
      for (int64_t i = 0; i < n; ++i) out[i] = convert_in<C>(p[i]);
      return;
    }
    Walker w(t.shape(), {t.strides});
    for (int64_t i = 0; i < n; ++i, w.next()) out[i] = convert_in<C>(p[w.offset(0)]);
  });
  if (!done)
    for (int64_t i = 0; i < n; ++i) out[i] = convert_in<C>(float_from_small(t.dtype, small_bits(t, i)));
  return out;
}

template <typename C>
void store(KernelContext&, const TensorRef& t, const C* values) {
  const int64_t n = t.count();
  bool done = dispatch_dtype(t.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* p = static_cast<T*>(t.data);
    if (t.dense()) {
      for (int64_t i = 0; i < n; ++i) p[i] = convert_out<T>(values[i]);
      return;
    }
    Walker w(t.shape(), {t.strides});
    for (int64_t i = 0; i < n; ++i, w.next()) p[w.offset(0)] = convert_out<T>(values[i]);
  });
  if (!done)
    for (int64_t i = 0; i < n; ++i) set_small_bits(t, i, small_from_float(t.dtype, static_cast<float>(values[i])));
}

#define FOVEA_INSTANTIATE(C)                                   \
  template const C* load<C>(KernelContext&, const TensorRef&); \
  template void store<C>(KernelContext&, const TensorRef&, const C*);
FOVEA_INSTANTIATE(float)
FOVEA_INSTANTIATE(double)
FOVEA_INSTANTIATE(int64_t)
FOVEA_INSTANTIATE(uint64_t)
FOVEA_INSTANTIATE(uint8_t)
#undef FOVEA_INSTANTIATE

int element_size(DType type) { return std::max(1, dtype_bits(type) / 8); }

void pack_elements(const TensorRef& t, std::byte* to) {
  const int size = element_size(t.dtype);
  // What lies without gaps at the end of the shape is copied as a whole.
  int64_t run = 1;
  auto outer = static_cast<size_t>(t.rank);
  for (; outer > 0 && (t.dims[outer - 1] == 1 || t.strides[outer - 1] == run); --outer) run *= t.dims[outer - 1];
  const auto* from = static_cast<const std::byte*>(t.data);
  if (run > 1) {
    Walker w(t.shape().first(outer), {t.strides});
    for (int64_t i = 0; i < w.count(); ++i, w.next())
      std::memcpy(to + i * run * size, from + w.offset(0) * size, static_cast<size_t>(run * size));
    return;
  }
  dispatch_size(size, [&](auto tag) {
    using U = typename decltype(tag)::type;
    Walker w(t.shape(), {t.strides});
    for (int64_t i = 0; i < w.count(); ++i, w.next())
      reinterpret_cast<U*>(to)[i] = static_cast<const U*>(t.data)[w.offset(0)];
  });
}

const std::byte* load_elements(KernelContext& c, const TensorRef& t) {
  const int size = element_size(t.dtype);
  if (dtype_bits(t.dtype) < 8) {
    auto* out = c.scratch->array<uint8_t>(t.count());
    for (int64_t i = 0; i < t.count(); ++i) out[i] = small_bits(t, i);
    return reinterpret_cast<const std::byte*>(out);
  }
  if (t.dense()) return static_cast<const std::byte*>(t.data);
  auto* out = c.scratch->array<std::byte>(t.count() * size);
  pack_elements(t, out);
  return out;
}

std::byte* element_buffer(KernelContext& c, const TensorRef& t) {
  if (dtype_bits(t.dtype) >= 8 && t.dense()) return static_cast<std::byte*>(t.data);
  return c.scratch->array<std::byte>(t.count() * element_size(t.dtype));
}

void finish_elements(KernelContext&, const TensorRef& t, const std::byte* elements) {
  if (elements == t.data) return;
  if (dtype_bits(t.dtype) < 8) {
    for (int64_t i = 0; i < t.count(); ++i) set_small_bits(t, i, static_cast<uint8_t>(elements[i]));
    return;
  }
  dispatch_size(element_size(t.dtype), [&](auto tag) {
    using U = typename decltype(tag)::type;
    Walker w(t.shape(), {t.strides});
    for (int64_t i = 0; i < w.count(); ++i, w.next())
      static_cast<U*>(t.data)[w.offset(0)] = reinterpret_cast<const U*>(elements)[i];
  });
}

ReferenceKernel find_reference(std::string_view op_name) {
  static const std::unordered_map<std::string_view, ReferenceKernel> table = {
#define FOVEA_OP(Name, file, family) {#Name, reference_##Name},
#define FOVEA_CONTROL(Name, file)
#define FOVEA_IMPORT(Name, file)
#include "ops/ops.inc"
#undef FOVEA_OP
#undef FOVEA_CONTROL
#undef FOVEA_IMPORT
  };
  auto it = table.find(op_name);
  return it == table.end() ? nullptr : it->second;
}

}  // namespace fovea::core
