#include "ops/cast.h"

#include <cmath>

#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

// v as float such that one more rounding, to a shorter type, gives what rounding v directly gives: where v is no float,
// the neighbour with an odd last bit, which is never halfway between two shorter numbers.
float round_to_odd(long double v) {
  const auto f = static_cast<float>(v);
  if (std::isnan(f) || static_cast<long double>(f) == v) return f;
  if (std::bit_cast<uint32_t>(f) & 1) return f;
  return std::nextafter(f, static_cast<long double>(f) < v ? std::numeric_limits<float>::infinity()
                                                           : -std::numeric_limits<float>::infinity());
}

// C is one of float, double, int64_t, uint64_t.
template <typename C>
float short_source(C v) {
  if constexpr (std::is_same_v<C, float>) return v;
  else return round_to_odd(static_cast<long double>(v));
}

// Powers of two only; `up` and `down` round the magnitude, `nearest` takes ties up.
uint8_t to_e8m0(float v, bool saturate, RoundMode mode) {
  constexpr uint8_t kNaN = 255, kLargest = 254;
  v = std::fabs(v);
  if (std::isnan(v)) return kNaN;
  if (std::isinf(v)) return saturate ? kLargest : kNaN;
  if (v == 0) return saturate ? 0 : kNaN;
  int exponent;
  const float mantissa = std::frexp(v, &exponent);  // [0.5, 1)
  int code = exponent - 1 + 127;
  if (mode == RoundMode::kUp) code += mantissa > 0.5f;
  if (mode == RoundMode::kNearest) code += mantissa >= 0.75f;
  if (code < 0) return saturate || mode != RoundMode::kDown ? 0 : kNaN;
  if (code > kLargest) return saturate ? kLargest : kNaN;
  return static_cast<uint8_t>(code);
}

// 8-bit floats and sub-byte types, as codes that store_codes() packs.
template <typename C>
uint8_t small_code(C v, const CastAttrs& attrs) {
  switch (attrs.to) {
    case DType::kFloat8E8M0: return to_e8m0(short_source(v), attrs.saturate, attrs.round_mode);
    case DType::kUInt4:
    case DType::kInt4:
    case DType::kUInt2:
    case DType::kInt2: {
      const int mask = (1 << dtype_bits(attrs.to)) - 1;
      if constexpr (std::is_floating_point_v<C>)
        return static_cast<uint8_t>((std::fabs(v) < 9e18f ? static_cast<int64_t>(v) : 0) & mask);
      else return static_cast<uint8_t>(v & static_cast<C>(mask));
    }
    default: return small_from_float(attrs.to, short_source(v), attrs.saturate);
  }
}

template <typename C>
void cast_from(KernelContext& c, const CastAttrs& attrs) {
  const C* x = load<C>(c, c.in(0));
  const TensorRef& y = c.out();
  const int64_t n = y.count();
  if (attrs.to == DType::kFloat16 || attrs.to == DType::kBFloat16) {
    auto* rounded = c.scratch->array<float>(n);
    for (int64_t i = 0; i < n; ++i) rounded[i] = short_source(x[i]);
    store(c, y, rounded);
  } else if (dtype_of<float>() != attrs.to &&
             (dtype_bits(attrs.to) < 8 || (dtype_bits(attrs.to) == 8 && is_float(attrs.to)))) {
    auto* codes = reinterpret_cast<uint8_t*>(element_buffer(c, y));
    for (int64_t i = 0; i < n; ++i) codes[i] = small_code(x[i], attrs);
    finish_elements(c, y, reinterpret_cast<std::byte*>(codes));
  } else {
    store(c, y, x);
  }
}

}  // namespace

Status reference_Cast(KernelContext& c) {
  const TensorRef& x = c.in(0);
  if (x.dtype == c.out().dtype) {
    std::byte* to = element_buffer(c, c.out());
    const std::byte* from = load_elements(c, x);
    if (to != from && x.count() > 0) std::memcpy(to, from, static_cast<size_t>(x.count() * element_size(x.dtype)));
    finish_elements(c, c.out(), to);
    return {};
  }
  dispatch_compute(x.dtype, [&](auto tag) { cast_from<typename decltype(tag)::type>(c, c.attrs<CastAttrs>()); });
  return {};
}

}  // namespace fovea::core
