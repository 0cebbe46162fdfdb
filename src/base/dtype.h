// Element types: every one that ONNX names. The numbers are onnx.TensorProto.DataType's and stand in engine files.
#pragma once

#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace fovea::core {

enum class DType : uint8_t {
  kUndefined = 0,
  kFloat32 = 1,
  kUInt8 = 2,
  kInt8 = 3,
  kUInt16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kFloat64 = 11,
  kUInt32 = 12,
  kUInt64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBFloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUInt4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUInt2 = 25,
  kInt2 = 26,
  kFloat6E2M3 = 27,
  kFloat6E3M2 = 28,
};
inline constexpr int kMaxDType = 28;

std::string_view to_string(DType type);                      // "float32", "int64", ...
std::optional<DType> dtype_from_string(std::string_view s);  // inverse of to_string
std::optional<DType> dtype_from_onnx(int64_t data_type);     // TensorProto.DataType

int dtype_bits(DType type);  // 0 for string and undefined
// Bytes of n elements, sub-byte types packed as ONNX packs them; nullopt on overflow or for strings.
std::optional<int64_t> dtype_bytes(DType type, int64_t count);

bool is_float(DType type);    // any floating type, 8 bits and fewer included
bool is_integer(DType type);  // any integer type; bool is none
bool is_complex(DType type);

// IEEE binary16 and bfloat16 as storage types; arithmetic happens in float.
struct Half {
  uint16_t bits = 0;
  Half() = default;
  explicit Half(float f);
  explicit operator float() const;
};
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float f);
  explicit operator float() const;
};

// Element i of packed sub-byte ones, the first in the lowest bits as ONNX packs them: its bit pattern.
uint8_t packed_bits(DType type, const void* data, int64_t i);
void set_packed_bits(DType type, void* data, int64_t i, uint8_t bits);

// 8-, 6-, 4- and 2-bit elements, by their bit pattern (low bits). Rounding is to nearest even; saturating, as ONNX's
// Cast does by default.
float float_from_small(DType type, uint8_t bits);
uint8_t small_from_float(DType type, float value, bool saturate = true);

template <typename T>
struct TypeTag {
  using type = T;
};

template <typename T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::kFloat32;
  else if constexpr (std::is_same_v<T, double>) return DType::kFloat64;
  else if constexpr (std::is_same_v<T, Half>) return DType::kFloat16;
  else if constexpr (std::is_same_v<T, BFloat16>) return DType::kBFloat16;
  else if constexpr (std::is_same_v<T, bool>) return DType::kBool;
  else if constexpr (std::is_same_v<T, int8_t>) return DType::kInt8;
  else if constexpr (std::is_same_v<T, int16_t>) return DType::kInt16;
  else if constexpr (std::is_same_v<T, int32_t>) return DType::kInt32;
  else if constexpr (std::is_same_v<T, int64_t>) return DType::kInt64;
  else if constexpr (std::is_same_v<T, uint8_t>) return DType::kUInt8;
  else if constexpr (std::is_same_v<T, uint16_t>) return DType::kUInt16;
  else if constexpr (std::is_same_v<T, uint32_t>) return DType::kUInt32;
  else if constexpr (std::is_same_v<T, uint64_t>) return DType::kUInt64;
  else return DType::kUndefined;
}

// Calls f(TypeTag<T>{}) with the C++ type that stores `type`; returns false (f not called) for types without one
// (strings, complex, 8-bit floats, sub-byte). Half and BFloat16 come as themselves: convert through float.
template <typename F>
bool dispatch_dtype(DType type, F&& f) {
  switch (type) {
    case DType::kFloat32: f(TypeTag<float>{}); return true;
    case DType::kFloat64: f(TypeTag<double>{}); return true;
    case DType::kFloat16: f(TypeTag<Half>{}); return true;
    case DType::kBFloat16: f(TypeTag<BFloat16>{}); return true;
    case DType::kBool: f(TypeTag<bool>{}); return true;
    case DType::kInt8: f(TypeTag<int8_t>{}); return true;
    case DType::kInt16: f(TypeTag<int16_t>{}); return true;
    case DType::kInt32: f(TypeTag<int32_t>{}); return true;
    case DType::kInt64: f(TypeTag<int64_t>{}); return true;
    case DType::kUInt8: f(TypeTag<uint8_t>{}); return true;
    case DType::kUInt16: f(TypeTag<uint16_t>{}); return true;
    case DType::kUInt32: f(TypeTag<uint32_t>{}); return true;
    case DType::kUInt64: f(TypeTag<uint64_t>{}); return true;
    default: return false;
  }
}

}  // namespace fovea::core
