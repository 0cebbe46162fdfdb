// Cast among all pairs of types, CastLike, Where, Identity and Dropout.
#include "kernels/reference/layout/oracle.h"

namespace fovea::core::test {
namespace {

std::vector<DType> castable() {
  std::vector<DType> all;
  for (int i = 1; i <= kMaxDType; ++i) {
    const auto t = static_cast<DType>(i);
    if (t != DType::kString && !is_complex(t)) all.push_back(t);
  }
  return all;
}

TensorPtr cast_to(const TensorPtr& x, DType to, AttrMap more = {}) {
  more.emplace_back("to", static_cast<int64_t>(to));
  RunOptions o;
  o.opset = 28;
  auto y = run_onnx("Cast", std::move(more), {x}, o);
  EXPECT_TRUE(y.ok()) << y.status().message();
  return y.ok() ? (*y)[0] : nullptr;
}

// Elements of any type as doubles, 8-bit floats and sub-byte types too.
std::vector<double> numbers(const TensorPtr& t) {
  TensorPtr wide = cast_to(t, DType::kFloat64);
  return wide ? wide->to_doubles() : std::vector<double>{};
}

TEST(Cast, SmallWholeNumbersSurviveEveryPair) {
  for (DType from : castable())
    for (DType to : castable()) {
      // 0 and 1 are in every type but float8e8m0, which has powers of two alone.
      const bool powers = from == DType::kFloat8E8M0 || to == DType::kFloat8E8M0;
      const TensorPtr x =
          cast_to(floats({3}, powers ? std::vector<float>{1, 1, 1} : std::vector<float>{0, 1, 1}), from);
      ASSERT_TRUE(x);
      ASSERT_EQ(x->dtype(), from);
      const TensorPtr y = cast_to(x, to);
      ASSERT_TRUE(y);
      ASSERT_EQ(y->dtype(), to);
      EXPECT_EQ(numbers(y), (powers ? std::vector<double>{1, 1, 1} : std::vector<double>{0, 1, 1}))
          << to_string(from) << " to " << to_string(to);
    }
}

TEST(Cast, IntegersKeepTheirLowBits) {
  const TensorPtr x = ints({200, -1, 70000, INT64_MIN, 5000000000});
  for (DType to : {DType::kInt8, DType::kUInt8, DType::kInt16, DType::kUInt16, DType::kInt32, DType::kUInt32,
                   DType::kUInt64, DType::kInt4, DType::kUInt2}) {
    const int bits = dtype_bits(to);
    const bool is_signed = to == DType::kInt8 || to == DType::kInt16 || to == DType::kInt32 || to == DType::kInt4;
    std::vector<double> want;
    for (int64_t v : x->to_ints()) {
      uint64_t low = bits == 64 ? static_cast<uint64_t>(v) : static_cast<uint64_t>(v) & ((uint64_t{1} << bits) - 1);
      want.push_back(is_signed && low >> (bits - 1) ? static_cast<double>(low) - std::ldexp(1.0, bits)
                                                    : static_cast<double>(low));
    }
    EXPECT_EQ(numbers(cast_to(x, to)), want) << to_string(to);
  }
}

TEST(Cast, FloatsAreTruncatedAndNotZeroIsTrue) {
  const TensorPtr x = floats({6}, {-1.9f, 1.9f, 0.4f, -0.0f, 7.5f, -0.4f});
  EXPECT_EQ(cast_to(x, DType::kInt32)->to_ints(), (std::vector<int64_t>{-1, 1, 0, 0, 7, 0}));
  EXPECT_EQ(cast_to(x, DType::kInt64)->to_ints(), (std::vector<int64_t>{-1, 1, 0, 0, 7, 0}));
  EXPECT_EQ(cast_to(x, DType::kBool)->to_ints(), (std::vector<int64_t>{1, 1, 1, 0, 1, 1}));
  EXPECT_EQ(cast_to(floats({2}, {std::nanf(""), INFINITY}), DType::kBool)->to_ints(), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(numbers(cast_to(x, DType::kInt4)), (std::vector<double>{-1, 1, 0, 0, 7, 0}));
}

// Each number of a short type lies between midpoints; what is just beside a midpoint must not be rounded twice.
TEST(Cast, DoubleAndIntegersRoundOnceToShortFloats) {
  for (DType to : {DType::kFloat16, DType::kBFloat16}) {
    const int mantissa = to == DType::kFloat16 ? 10 : 7;
    for (int exponent : {0, 3, -5, 12}) {
      const double ulp = std::ldexp(1.0, exponent - mantissa), base = std::ldexp(1.0, exponent) + ulp,
                   middle = base + ulp / 2;
      const double beside = std::ldexp(1.0, exponent - 40);
      const std::vector<double> x{middle - beside, middle, middle + beside, -middle - beside};
      const std::vector<double> want{base, base + ulp, base + ulp,
                                     -base - ulp};  // the middle goes to the even neighbour
      EXPECT_EQ(numbers(cast_to(Tensor::of<double>({4}, std::span<const double>(x)), to)), want)
          << to_string(to) << " " << exponent;
    }
  }
  // 2^60 + 2^52 lies half-way between two bfloat16 numbers; one more is above it.
  const int64_t middle = (int64_t{1} << 60) + (int64_t{1} << 52);
  EXPECT_EQ(numbers(cast_to(ints({middle, middle + 1}), DType::kBFloat16)),
            (std::vector<double>{std::ldexp(1.0, 60), std::ldexp(1.0, 60) + std::ldexp(1.0, 53)}));
  EXPECT_EQ(numbers(cast_to(Tensor::of<double>({3}, {1e6, -1e300, INFINITY}), DType::kFloat16)),
            (std::vector<double>{INFINITY, -INFINITY, INFINITY}));
  EXPECT_TRUE(std::isnan(numbers(cast_to(Tensor::of<double>({1}, {std::nan("")}), DType::kFloat16))[0]));
}

TEST(Cast, EightBitFloatsSaturateUnlessToldNotTo) {
  const TensorPtr x = floats({5}, {1e6f, -1e6f, INFINITY, 448.0f, 0.0f});
  EXPECT_EQ(numbers(cast_to(x, DType::kFloat8E4M3FN)), (std::vector<double>{448, -448, 448, 448, 0}));
  EXPECT_EQ(numbers(cast_to(x, DType::kFloat8E5M2)), (std::vector<double>{57344, -57344, 57344, 448, 0}));
  auto loose = numbers(cast_to(x, DType::kFloat8E5M2, {{"saturate", int64_t{0}}}));
  EXPECT_EQ(loose, (std::vector<double>{INFINITY, -INFINITY, INFINITY, 448, 0}));
  loose = numbers(cast_to(x, DType::kFloat8E4M3FN, {{"saturate", int64_t{0}}}));
  EXPECT_TRUE(std::isnan(loose[0]) && std::isnan(loose[1]) && std::isnan(loose[2]));
  EXPECT_EQ(loose[3], 448);
}

TEST(Cast, PowersOfTwoRoundAsTheModeSays) {
  const TensorPtr x = floats({5}, {1.0f, 1.25f, 1.5f, 1.75f, 3.0f});
  auto with = [&](const char* mode) {
    return numbers(cast_to(x, DType::kFloat8E8M0, {{"round_mode", std::string(mode)}}));
  };
  EXPECT_EQ(with("up"), (std::vector<double>{1, 2, 2, 2, 4}));
  EXPECT_EQ(with("down"), (std::vector<double>{1, 1, 1, 1, 2}));
  EXPECT_EQ(with("nearest"), (std::vector<double>{1, 1, 2, 2, 4}));
}

TEST(Cast, AllWays) {
  FOVEA_SEEDS(seed, 30) {
    std::mt19937 rng(seed);
    const std::vector<DType> types = castable();
    const DType from = random_type(rng), to = types[rng() % types.size()];
    run_all_ways({"Cast", {{"to", static_cast<int64_t>(to)}}, 25},
                 {random_tensor(rng, from, random_dims(rng, rng() % 4, 5))});
  }
}

TEST(Cast, StringsAndComplexAreRefused) {
  EXPECT_EQ(run_onnx("Cast", {{"to", int64_t{8}}}, {ints({1})}).status().kind(), ErrorKind::kUnsupported);
  EXPECT_EQ(run_onnx("Cast", {{"to", int64_t{1}}}, {Tensor::strings({1}, {"1"})}).status().kind(),
            ErrorKind::kUnsupported);
  EXPECT_FALSE(run_onnx("Cast", {{"to", int64_t{99}}}, {ints({1})}).ok());
}

TEST(Cast, LikeAnotherInput) {
  auto y = run_onnx("CastLike", {}, {floats({2}, {1.5f, -2.5f}), ints({})});
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE((*y)[0]->same_as(*ints({1, -2})));
}

TEST(Where, PicksWithBroadcasting) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    const size_t rank = rng() % 4;
    const Dims dims = random_dims(rng, rank, 5);
    auto part = [&] {
      Dims d(dims.begin() + static_cast<int64_t>(rng() % (rank + 1)), dims.end());
      for (int64_t& s : d)
        if (rng() % 3 == 0) s = 1;
      return d;
    };
    const DType type = random_type(rng);
    std::vector<TensorPtr> inputs{random_tensor(rng, DType::kBool, part()), random_tensor(rng, type, part()),
                                  random_tensor(rng, type, part())};
    inputs[rng() % 3] = nullptr;
    for (size_t i = 0; i < 3; ++i)
      if (!inputs[i]) inputs[i] = random_tensor(rng, i ? type : DType::kBool, dims);
    auto y = run_all_ways({"Where", {}, 16}, inputs)[0];
    auto of = [&](const TensorPtr& t, const Index& at) {
      Index from(at.end() - static_cast<int64_t>(t->dims().size()), at.end());
      for (size_t d = 0; d < from.size(); ++d)
        if (t->dims()[d] == 1) from[d] = 0;
      return Numbers(t).at(from);
    };
    expect_elements(y, dims,
                    [&](const Index& at) { return of(inputs[0], at) != 0 ? of(inputs[1], at) : of(inputs[2], at); });
  }
  EXPECT_FALSE(run_onnx("Where", {}, {Tensor::of<bool>({2}, {true, false}), ints({1, 2, 3}), ints({1})}).ok());
  EXPECT_FALSE(run_onnx("Where", {}, {ints({1}), ints({1}), ints({1})}).ok());
  EXPECT_FALSE(run_onnx("Where", {}, {Tensor::of<bool>({1}, {true}), ints({1}), floats({1}, {1})}).ok());
}

TEST(Identity, IsItsInputAndDropoutToo) {
  TensorPtr x = floats({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_TRUE((*run_onnx("Identity", {}, {x}))[0]->same_as(*x));
  RunOptions o;
  o.outputs = 2, o.opset = 13;
  auto y = run_onnx("Dropout", {}, {x, Tensor::scalar<float>(0.5f), Tensor::scalar(false)}, o);
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE((*y)[0]->same_as(*x));
  EXPECT_EQ((*y)[1]->dtype(), DType::kBool);
  EXPECT_EQ((*y)[1]->to_ints(), std::vector<int64_t>(6, 1));
  EXPECT_EQ(run_onnx("Dropout", {}, {x, nullptr, Tensor::scalar(true)}).status().kind(), ErrorKind::kUnsupported);
}

}  // namespace
}  // namespace fovea::core::test
