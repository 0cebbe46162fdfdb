// --check: what is not finite is found, and named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "runtime/executor_testing.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;

TEST(Executor, CheckFiniteNamesTheOnnxNode) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float32[n]) -> (y = %y) {
  %r = Relu(%x) from "/trunk/relu"
  %l = Log(%r) from "/head/log"
  %y = Exp(%l) from "/head/exp"
})");
  rig.executor.check_finite = true;
  std::vector<TensorPtr> good = {Tensor::of<float>({2}, {1, 2})}, bad = {Tensor::of<float>({2}, {1, 0})},
                         nan = {Tensor::of<float>({2}, {1, std::numeric_limits<float>::quiet_NaN()})};
  EXPECT_TRUE(rig.run(good).ok());
  auto r = rig.run(bad);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidArgument);
  EXPECT_THAT(r.status().message(), HasSubstr("Log '/head/log' gave infinity in 'l' (element 1 of 2)"));
  r = rig.run(nan);
  ASSERT_FALSE(r.ok());
  EXPECT_THAT(r.status().message(), HasSubstr("NaN"));
  rig.executor.check_finite = false;
  EXPECT_TRUE(rig.run(bad).ok());
  rig.executor.check_finite = true;
  EXPECT_TRUE(rig.run(good).ok());
}

// A fused ReLU makes 0 of the NaN that bad weights give: the weights themselves are looked at.
TEST(Executor, CheckFiniteLooksAtWeights) {
  auto text = [](const char* weight, const char* bias) {
    return fmt::format(R"(symbols(n in [1,64])
graph @main(%x: float32[n,1,4,4]) -> (y = %y) {{
  %w = constant float32[1,1,1,1] {{{}}}
  %b = constant float32[1] {{{}}}
  %c = Conv(%x, %w, %b) {{strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]}} from "/trunk/conv"
  %y = Relu(%c) from "/trunk/relu"
}})",
                       weight, bias);
  };
  for (auto [weight, bias, found] : {std::tuple{"1.0", "1.0", ""},
                                     {"nan", "1.0", "Conv '/trunk/conv': its constant 'w' holds NaN (element 0 of 1)"},
                                     {"1.0", "nan", "Conv '/trunk/conv': its constant 'b' holds NaN (element 0 of 1)"},
                                     {"1.0", "-inf", "its constant 'b' holds infinity"}}) {
    Rig rig(text(weight, bias));
    rig.executor.check_finite = true;
    auto r = rig.run(rig.random_inputs({{2, 1, 4, 4}}));
    ASSERT_EQ(r.ok(), *found == 0) << weight << bias << r.status().message();
    if (r.ok()) continue;
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel);
    EXPECT_THAT(r.status().message(), HasSubstr(found));
    rig.executor.check_finite = false;
    EXPECT_TRUE(rig.run(rig.random_inputs({{2, 1, 4, 4}})).ok());
  }
}

// A mask of -inf and bounds of infinity are how networks are written.
TEST(Executor, CheckFiniteLeavesMasksAndBoundsAlone) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float32[n,4], %m: bool[n,4]) -> (y = %y) {
  %w = constant float32[4,4] random(1)
  %p = MatMul(%x, %w)
  %low = constant float32[] {0.0}
  %high = constant float32[] {inf}
  %c = Clip(%p, %low, %high)
  %none = constant float32[4] {0.0, 0.0, 0.0, -inf}
  %b = Max(%c, %none)
  %zero = constant float32[] {-inf}
  %picked = Where(%m, %b, %low)
  %most = Max(%picked, %zero)
  %y = Softmax(%most) {axis=1}
})");
  rig.executor.check_finite = true;
  auto r = rig.run(rig.random_inputs({{2, 4}, {2, 4}}));
  EXPECT_TRUE(r.ok()) << r.status().message();
}

// Every floating type is looked at, at every place of a run.
TEST(Executor, CheckFiniteOfOtherTypes) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float64[n]) -> (y = %y) {
  %to = Cast(%x) {to="float16"} from "/half"
  %y = Neg(%to)
})");
  rig.executor.check_finite = true;
  auto run = [&](double v) { return rig.run(std::vector<TensorPtr>{Tensor::of<double>({2}, {1.0, v})}); };
  EXPECT_TRUE(run(2).ok());
  const double infinity = std::numeric_limits<double>::infinity();
  for (auto [value, found] : {std::pair{1e5, "Cast '/half' gave infinity in 'to' (element 1 of 2)"},
                              {std::nan(""), "input 'x' holds NaN (element 1 of 2)"},
                              {infinity, "input 'x' holds infinity (element 1 of 2)"}}) {
    auto r = run(value);
    ASSERT_FALSE(r.ok()) << value;
    EXPECT_THAT(r.status().message(), HasSubstr(found));
  }
}

}  // namespace
}  // namespace fovea::core
