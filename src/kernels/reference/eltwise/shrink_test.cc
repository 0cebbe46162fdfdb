#include <limits>

#include "kernels/reference/close.h"

namespace fovea::core::test {
namespace {

TEST(ReferenceShrink, HardAndSoft) {
  const TensorPtr x = floats({5}, {-2, -1, 0, 1, 2});
  for (const RunOptions& options : layouts()) {
    expect_close(only(run_onnx("Shrink", {{"lambd", 1.5}}, {x}, options)), {-2, 0, 0, 0, 2});
    expect_close(only(run_onnx("Shrink", {{"lambd", 1.5}, {"bias", 1.5}}, {x}, options)), {-0.5, 0, 0, 0, 0.5});
    expect_close(only(run_onnx("Shrink", {}, {x}, options)), {-2, -1, 0, 1, 2});
  }
}

TEST(ReferenceShrink, TheBoundsThemselvesAreZeroAndSoIsNaN) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  expect_close(only(run_onnx("Shrink", {{"lambd", 1.0}}, {floats({5}, {-1, 1, kNaN, -kInf, kInf})})),
               {0, 0, 0, -kInf, kInf});
}

TEST(ReferenceShrink, IntegersAreExactAndCutTowardsZero) {
  const int64_t large = (int64_t{1} << 53) + 1;  // no double
  const TensorPtr y =
      only(run_onnx("Shrink", {{"lambd", 1.5}, {"bias", 1.0}}, {integers({4}, {-large, -1, 2, large})}));
  ASSERT_TRUE(y);
  EXPECT_EQ(y->to_ints(), (std::vector<int64_t>{-large + 1, 0, 1, large - 1}));
  expect_close(only(run_onnx("Shrink", {{"lambd", 1.5}, {"bias", 0.5}}, {integers({2}, {-3, 3})})), {-2, 2});
}

TEST(ReferenceShrink, RefusesBool) {
  std::mt19937 rng(1);
  EXPECT_FALSE(run_onnx("Shrink", {}, {random_tensor(rng, DType::kBool, {3})}).ok());
}

}  // namespace
}  // namespace fovea::core::test
