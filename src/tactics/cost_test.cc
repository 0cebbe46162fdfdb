// What groups move and compute, by hand, and the floor that follows.
#include "tactics/cost.h"

#include <gtest/gtest.h>

#include "ir/parse.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

constexpr const char* kText = R"(symbols(n in [1,64])
graph @main(%x: float32[n,16,8,8], %a: float32[6,5], %b: float32[5,7]) -> (y = %y, g = %g, s = %s, m = %m) {
  %w = constant float32[32,16,3,3] random(1)
  %c = Conv(%x, %w) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]}
  %r = Relu(%c)
  %y = MaxPool(%r) {kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], dilations=[1, 1]}
  %g = MatMul(%a, %b)
  %s = Transpose(%a) {perm=[1, 0]}
  %m = ReduceMean(%b) {axes=[1], keepdims=false}
})";

class Costs : public testing::Test {
 protected:
  void SetUp() override {
    auto g = parse(kText, find_op);
    ASSERT_TRUE(g.ok()) << g.status().message();
    graph_ = *std::move(g);
    auto s = Sizes::make(*graph_, {{"n", 2}});
    ASSERT_TRUE(s.ok()) << s.status().message();
    sizes_ = std::make_unique<Sizes>(*std::move(s));
  }
  GroupCost of(const std::string& value, Format in = {}, Format out = {}) const {
    const Group group = single_node_group(*graph_->find(value)->producer);
    FormatChoice formats = all_plain(group);
    formats.inputs[0] = in, formats.outputs[0] = out;
    return group_cost(group, formats, *sizes_);
  }
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<Sizes> sizes_;
};

TEST_F(Costs, BytesAndOperations) {
  const double x = 2 * 16 * 64, c = 2 * 32 * 64, w = 32 * 16 * 9;
  EXPECT_EQ(of("c").bytes, 4 * (x + w + c));
  EXPECT_EQ(of("c").products, 2 * c * 16 * 9);
  EXPECT_EQ(of("c").others, 0);
  EXPECT_EQ(of("r").products, 0);
  EXPECT_EQ(of("r").others, c);
  EXPECT_EQ(of("y").others, 4 * c / 4);
  EXPECT_EQ(of("g").products, 2 * 6 * 7 * 5);
  EXPECT_EQ(of("s").products + of("s").others, 0);
  EXPECT_EQ(of("s").bytes, 4 * 2 * 30);
  EXPECT_EQ(of("m").others, 35);
}

TEST_F(Costs, TypesAndLayoutsThatAreStored) {
  const Format half(Layout::kNhwc8, Place::kDevice, DType::kFloat16);
  const GroupCost c = of("c", half, half);
  EXPECT_EQ(c.arithmetic, Arithmetic::kFloat16);
  EXPECT_EQ(of("c", Format(Layout::kPlain, Place::kDevice), half).arithmetic, Arithmetic::kFloat16);
  EXPECT_EQ(c.bytes, 2 * (2 * 16 * 64 + 32 * 16 * 9 + 2 * 32 * 64));
  const Format device(Layout::kPlain, Place::kDevice);
  EXPECT_EQ(of("c", device, device).arithmetic, Arithmetic::kFloat32);
  graph_->find("c")->storage.tf32 = true;
  EXPECT_EQ(of("c", device, device).arithmetic, Arithmetic::kTf32);
  EXPECT_EQ(of("c").arithmetic, Arithmetic::kFloat32) << "the host";
}

TEST_F(Costs, TheFloorIsTheSlowerOfMovingAndComputing) {
  const Limits limits{1e9, 2e9, 4e9, 8e9};
  const auto moving = floor_of({1e6, 1e6, 0, Arithmetic::kFloat32}, limits);
  ASSERT_TRUE(moving);
  EXPECT_DOUBLE_EQ(moving->ms, 1);
  EXPECT_FALSE(moving->compute);
  for (auto [arithmetic, ms] : {std::pair(Arithmetic::kFloat32, 4.0), std::pair(Arithmetic::kTf32, 2.0),
                                std::pair(Arithmetic::kFloat16, 1.0)}) {
    const auto floor = floor_of({1e5, 8e6, 0, arithmetic}, limits);
    ASSERT_TRUE(floor);
    EXPECT_DOUBLE_EQ(floor->ms, ms);
    EXPECT_TRUE(floor->compute);
    EXPECT_EQ(arithmetic_from_string(to_string(arithmetic)), arithmetic);
  }
  EXPECT_DOUBLE_EQ(floor_of({0, 0, 4e6, Arithmetic::kFloat16}, limits)->ms, 2) << "element-wise: in float32";
  EXPECT_FALSE(floor_of({1, 1, 1, Arithmetic::kFloat32}, {}));
  EXPECT_FALSE(floor_of({1, 1, 1, Arithmetic::kTf32}, {1e9, 1e9, 0, 0}));
  EXPECT_TRUE(floor_of({1, 0, 1, Arithmetic::kTf32}, {1e9, 0, 0, 0}));
}

}  // namespace
}  // namespace fovea::core
