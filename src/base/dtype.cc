#include "base/dtype.h"

#include <algorithm>
#include <array>

namespace fovea::core {
namespace {

enum class Family : uint8_t { kNone, kFloat, kInteger, kComplex, kBool };

struct Info {
  std::string_view name;
  uint8_t bits;
  Family family;
};

constexpr std::array<Info, kMaxDType + 1> kInfo = {{
    {"undefined", 0, Family::kNone},       {"float32", 32, Family::kFloat},
    {"uint8", 8, Family::kInteger},        {"int8", 8, Family::kInteger},
    {"uint16", 16, Family::kInteger},      {"int16", 16, Family::kInteger},
    {"int32", 32, Family::kInteger},       {"int64", 64, Family::kInteger},
    {"string", 0, Family::kNone},          {"bool", 8, Family::kBool},
    {"float16", 16, Family::kFloat},       {"float64", 64, Family::kFloat},
    {"uint32", 32, Family::kInteger},      {"uint64", 64, Family::kInteger},
    {"complex64", 64, Family::kComplex},   {"complex128", 128, Family::kComplex},
    {"bfloat16", 16, Family::kFloat},      {"float8e4m3fn", 8, Family::kFloat},
    {"float8e4m3fnuz", 8, Family::kFloat}, {"float8e5m2", 8, Family::kFloat},
    {"float8e5m2fnuz", 8, Family::kFloat}, {"uint4", 4, Family::kInteger},
    {"int4", 4, Family::kInteger},         {"float4e2m1", 4, Family::kFloat},
    {"float8e8m0", 8, Family::kFloat},     {"uint2", 2, Family::kInteger},
    {"int2", 2, Family::kInteger},         {"float6e2m3", 6, Family::kFloat},
    {"float6e3m2", 6, Family::kFloat},
}};

const Info& info(DType type) { return kInfo[std::min<size_t>(static_cast<size_t>(type), kMaxDType)]; }

// A small floating format: sign, exponent, mantissa; what its top codes mean.
struct SmallFloat {
  int exponent_bits, mantissa_bits, bias;
  bool is_signed, has_inf, unsigned_zero;  // unsigned_zero: the code of -0 is the only NaN (the "uz" formats)
};

SmallFloat small_format(DType type) {
  switch (type) {
    case DType::kFloat8E4M3FN: return {4, 3, 7, true, false, false};
    case DType::kFloat8E4M3FNUZ: return {4, 3, 8, true, false, true};
    case DType::kFloat8E5M2: return {5, 2, 15, true, true, false};
    case DType::kFloat8E5M2FNUZ: return {5, 2, 16, true, false, true};
    case DType::kFloat8E8M0: return {8, 0, 127, false, false, false};
    case DType::kFloat6E2M3: return {2, 3, 1, true, false, false};
    case DType::kFloat6E3M2: return {3, 2, 3, true, false, false};
    default: return {2, 1, 1, true, false, false};  // float4e2m1: no NaN, no infinity
  }
}

}  // namespace

std::string_view to_string(DType type) { return info(type).name; }

std::optional<DType> dtype_from_string(std::string_view s) {
  for (int i = 1; i <= kMaxDType; ++i)
    if (kInfo[i].name == s) return static_cast<DType>(i);
  return std::nullopt;
}

std::optional<DType> dtype_from_onnx(int64_t data_type) {
  if (data_type <= 0 || data_type > kMaxDType) return std::nullopt;
  return static_cast<DType>(data_type);
}

int dtype_bits(DType type) { return info(type).bits; }

std::optional<int64_t> dtype_bytes(DType type, int64_t count) {
  int64_t bits = dtype_bits(type), total;
  if (bits == 0 || count < 0 || __builtin_mul_overflow(bits, count, &total) || total > INT64_MAX - 7)
    return std::nullopt;
  return (total + 7) / 8;
}

bool is_float(DType type) { return info(type).family == Family::kFloat; }
bool is_integer(DType type) { return info(type).family == Family::kInteger; }
bool is_complex(DType type) { return info(type).family == Family::kComplex; }

Half::Half(float f) {
  uint32_t x = std::bit_cast<uint32_t>(f), sign = (x >> 16) & 0x8000u;
  x &= 0x7fffffffu;
  if (x >= 0x7f800000u) {  // infinity stays; NaN stays NaN, quiet
    bits = static_cast<uint16_t>(sign | 0x7c00u | (x > 0x7f800000u ? 0x200u | ((x >> 13) & 0x3ffu) : 0u));
  } else if (x >= 0x477ff000u) {  // rounds to above the largest finite value
    bits = static_cast<uint16_t>(sign | 0x7c00u);
  } else if (x >= 0x38800000u) {  // normal
    x += 0xfffu + ((x >> 13) & 1u);
    bits = static_cast<uint16_t>(sign | ((x - 0x38000000u) >> 13));
  } else {  // subnormal or zero: adding 0.5 aligns the mantissa, the addition rounds to nearest even
    float magic = std::bit_cast<float>(x) + 0.5f;
    bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(magic) - 0x3f000000u));
  }
}

Half::operator float() const {
  uint32_t sign = (bits & 0x8000u) << 16, exponent = (bits >> 10) & 0x1fu, mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -value : value;
  }
  uint32_t x = exponent == 31 ? 0x7f800000u | (mantissa << 13) : ((exponent + 112u) << 23) | (mantissa << 13);
  return std::bit_cast<float>(sign | x);
}

BFloat16::BFloat16(float f) {
  uint32_t x = std::bit_cast<uint32_t>(f);
  if (std::isnan(f)) bits = static_cast<uint16_t>((x >> 16) | 0x40u);
  else bits = static_cast<uint16_t>((x + 0x7fffu + ((x >> 16) & 1u)) >> 16);
}

BFloat16::operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

uint8_t packed_bits(DType type, const void* data, int64_t i) {
  const auto* p = static_cast<const uint8_t*>(data);
  const int width = dtype_bits(type), mask = (1 << width) - 1;
  const int64_t bit = i * width;
  int v = p[bit / 8] >> (bit % 8);
  if (bit % 8 + width > 8) v |= p[bit / 8 + 1] << (8 - bit % 8);  // 6-bit elements straddle bytes
  return static_cast<uint8_t>(v & mask);
}

void set_packed_bits(DType type, void* data, int64_t i, uint8_t bits) {
  auto* p = static_cast<uint8_t*>(data);
  const int width = dtype_bits(type), mask = (1 << width) - 1;
  const int64_t bit = i * width;
  const int shift = static_cast<int>(bit % 8);
  auto put = [](uint8_t& byte, int at, int what) { byte = static_cast<uint8_t>((byte & ~at) | (what & at)); };
  put(p[bit / 8], (mask << shift) & 255, bits << shift);
  if (shift + width > 8) put(p[bit / 8 + 1], mask >> (8 - shift), (bits & mask) >> (8 - shift));
}

float float_from_small(DType type, uint8_t bits) {
  switch (type) {  // two's complement and plain integers first
    case DType::kUInt4: return bits & 15;
    case DType::kInt4: return static_cast<float>(static_cast<int8_t>((bits & 15) << 4) >> 4);
    case DType::kUInt2: return bits & 3;
    case DType::kInt2: return static_cast<float>(static_cast<int8_t>((bits & 3) << 6) >> 6);
    default: break;
  }
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  SmallFloat f = small_format(type);
  if (type == DType::kFloat8E8M0) return bits == 255 ? kNaN : std::ldexp(1.0f, static_cast<int>(bits) - f.bias);
  int width = 1 + f.exponent_bits + f.mantissa_bits;
  int code = bits & ((1 << width) - 1), sign = code >> (width - 1);
  int exponent = (code >> f.mantissa_bits) & ((1 << f.exponent_bits) - 1),
      mantissa = code & ((1 << f.mantissa_bits) - 1);
  int top = (1 << f.exponent_bits) - 1;
  if (f.unsigned_zero && code == 1 << (width - 1)) return kNaN;
  if (f.has_inf && exponent == top) return mantissa ? kNaN : (sign ? -kInf : kInf);
  if (type == DType::kFloat8E4M3FN && exponent == top && mantissa == 7) return kNaN;
  float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), 1 - f.bias - f.mantissa_bits)
                              : std::ldexp(static_cast<float>(mantissa + (1 << f.mantissa_bits)),
                                           exponent - f.bias - f.mantissa_bits);
  return sign ? -value : value;
}

uint8_t small_from_float(DType type, float value, bool saturate) {
  auto clamp_int = [&](float lo, float hi, int mask) {
    float v = std::isnan(value) ? 0.0f : std::clamp(std::nearbyint(value), lo, hi);
    return static_cast<uint8_t>(static_cast<int>(v) & mask);
  };
  switch (type) {
    case DType::kUInt4: return clamp_int(0, 15, 15);
    case DType::kInt4: return clamp_int(-8, 7, 15);
    case DType::kUInt2: return clamp_int(0, 3, 3);
    case DType::kInt2: return clamp_int(-2, 1, 3);
    default: break;
  }
  // The formats have at most 256 codes: the nearest one, found by search, needs no bit tricks to be right.
  const int codes = 1 << dtype_bits(type);
  int best = -1, largest = 0, nan_code = -1, inf_code = -1;
  float best_distance = 0, largest_value = -1;
  const bool negative = std::signbit(value);
  for (int c = 0; c < codes; ++c) {
    float v = float_from_small(type, static_cast<uint8_t>(c));
    if (std::isnan(v)) {
      if (nan_code < 0) nan_code = c;
      continue;
    }
    if (std::signbit(v) != negative && type != DType::kFloat8E8M0 && !(v == 0 && small_format(type).unsigned_zero))
      continue;
    if (std::isinf(v)) {
      inf_code = c;
      continue;
    }
    if (std::fabs(v) > largest_value) largest_value = std::fabs(v), largest = c;
    if (std::isnan(value) || std::isinf(value)) continue;
    float distance = std::fabs(v - value);
    if (best < 0 || distance < best_distance || (distance == best_distance && (c & 1) == 0))
      best = c, best_distance = distance;
  }
  // The formats of 4 and 6 bits have no NaN: ONNX's tests expect -0.
  if (std::isnan(value)) return static_cast<uint8_t>(nan_code >= 0 ? nan_code : codes / 2);
  // Past half a step beyond the largest value the number overflows.
  const SmallFloat f = small_format(type);
  int exponent;
  std::frexp(largest_value, &exponent);
  float half_step = std::ldexp(1.0f, exponent - 1 - f.mantissa_bits - 1);
  bool overflow = std::isinf(value) || std::fabs(value) > largest_value + half_step;
  if (!overflow) return static_cast<uint8_t>(best);
  if (saturate) return static_cast<uint8_t>(largest);
  return static_cast<uint8_t>(inf_code >= 0 ? inf_code : nan_code >= 0 ? nan_code : largest);
}

}  // namespace fovea::core
