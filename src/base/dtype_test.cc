#include "base/dtype.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace fovea::core {
namespace {

constexpr DType kSmall[] = {DType::kFloat8E4M3FN, DType::kFloat8E4M3FNUZ, DType::kFloat8E5M2, DType::kFloat8E5M2FNUZ,
                            DType::kFloat8E8M0,   DType::kUInt4,          DType::kInt4,       DType::kUInt2,
                            DType::kInt2,         DType::kFloat4E2M1,     DType::kFloat6E2M3, DType::kFloat6E3M2};

TEST(DTypes, NamesAndNumbersComeBack) {
  for (int i = 1; i <= kMaxDType; ++i) {
    auto type = dtype_from_onnx(i);
    ASSERT_TRUE(type);
    EXPECT_EQ(dtype_from_string(to_string(*type)), type) << i;
  }
  EXPECT_FALSE(dtype_from_onnx(0) || dtype_from_onnx(-1) || dtype_from_onnx(kMaxDType + 1));
  EXPECT_EQ(dtype_bytes(DType::kInt4, 3), 2);
  EXPECT_EQ(dtype_bytes(DType::kFloat6E2M3, 5), 4);
  EXPECT_FALSE(dtype_bytes(DType::kFloat64, INT64_MAX / 8));
}

TEST(DTypes, PackedElementsKeepTheirNeighbours) {
  std::mt19937 random(7);
  for (DType type : kSmall) {
    const int codes = 1 << dtype_bits(type);
    for (int64_t count : {1, 2, 3, 4, 5, 17}) {
      std::vector<uint8_t> memory(static_cast<size_t>(*dtype_bytes(type, count))), wanted(static_cast<size_t>(count));
      for (int round = 0; round < 3; ++round)
        for (int64_t i = count - 1; i >= 0; --i) {
          wanted[static_cast<size_t>(i)] = static_cast<uint8_t>(random() % static_cast<unsigned>(codes));
          set_packed_bits(type, memory.data(), i, wanted[static_cast<size_t>(i)]);
        }
      for (int64_t i = 0; i < count; ++i)
        EXPECT_EQ(packed_bits(type, memory.data(), i), wanted[static_cast<size_t>(i)]) << to_string(type) << " " << i;
    }
  }
  // As onnx.proto writes it: byte0 = x0 | (x1 & 3) << 6, byte1 = x1 >> 2 | (x2 & 15) << 4, byte2 = x2 >> 4 | x3 << 2.
  const uint8_t x[] = {0x15, 0x2e, 0x39, 0x07};
  uint8_t packed[3] = {};
  for (int i = 0; i < 4; ++i) set_packed_bits(DType::kFloat6E3M2, packed, i, x[i]);
  EXPECT_EQ(packed[0], 0x15 | (0x2e & 3) << 6);
  EXPECT_EQ(packed[1], 0x2e >> 2 | (0x39 & 15) << 4);
  EXPECT_EQ(packed[2], 0x39 >> 4 | 0x07 << 2);
}

TEST(DTypes, EveryCodeOfASmallTypeComesBack) {
  for (DType type : kSmall)
    for (int code = 0; code < 1 << dtype_bits(type); ++code) {
      const float value = float_from_small(type, static_cast<uint8_t>(code));
      const float again = float_from_small(type, small_from_float(type, value, false));
      EXPECT_TRUE(value == again || (std::isnan(value) && std::isnan(again)))
          << to_string(type) << " " << code << ": " << value << ", " << again;
    }
  EXPECT_EQ(float_from_small(DType::kFloat6E2M3, 31), 7.5f);
  EXPECT_EQ(float_from_small(DType::kFloat6E3M2, 31), 28.0f);
  EXPECT_EQ(float_from_small(DType::kFloat4E2M1, 7), 6.0f);
}

TEST(DTypes, HalfAndBFloat16RoundToNearestEven) {
  for (int bits = 0; bits < 65536; ++bits) {
    Half h;
    h.bits = static_cast<uint16_t>(bits);
    const float f = static_cast<float>(h);
    if (!std::isnan(f)) EXPECT_EQ(Half(f).bits, bits);
    else EXPECT_TRUE(std::isnan(static_cast<float>(Half(f))));
  }
  EXPECT_EQ(static_cast<float>(Half(65519.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(static_cast<float>(Half(65520.0f))));
  EXPECT_EQ(static_cast<float>(BFloat16(1.00390625f)), 1.0f);  // halfway: to even
}

}  // namespace
}  // namespace fovea::core
