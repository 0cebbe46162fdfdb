// Which convolutions become one product of both, and how far a product's result may reach into its input. Needs no GPU.
#include <gtest/gtest.h>

#include "kernels/cuda/conv/overlap.h"
#include "kernels/cuda/row_cases.h"
#include "kernels/cuda/table.h"

namespace fovea::core {
namespace {

using Names = std::vector<std::string>;

const KernelRow& two_convs() {
  return **std::ranges::find(cuda_kernels(), "cutlass_two_convs", [](const KernelRow* row) { return row->name; });
}

// The operators of each group that the row takes, the largest first.
std::vector<Names> groups_of(std::string_view line) {
  auto parsed = rows::parse_case(line, 1);
  EXPECT_TRUE(parsed.ok()) << line;
  std::vector<Names> found;
  for (const Group& g : two_convs().match(*parsed->graph, *parsed->anchor)) {
    found.emplace_back();
    for (const Node* n : g.nodes) found.back().emplace_back(n->op->name);
    EXPECT_EQ(g.outputs, std::vector<const Value*>{g.nodes.back()->output()}) << line;
    EXPECT_GE(g.inputs[1]->shape[1].int_value(), g.inputs[4]->shape[1].int_value()) << line;
  }
  return found;
}

TEST(TwoConvs, AreTakenWithTheirSumAndRelu) {
  const Names sum = {"Conv", "Conv", "Add"}, relu = {"Conv", "Conv", "Add", "Relu"};
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | | AddConv:16"), std::vector<Names>{sum});
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 - | | AddConv:3 Relu"), (std::vector<Names>{relu, sum}));
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | dilations=2,2 | AddConv:8 Sigmoid"), std::vector<Names>{sum});
}

TEST(TwoConvs, LeaveTheRestToOthers) {
  for (const char* line :
       {"Conv 1x8x3x3 c:4x8x1x1 c:4 | | Add Relu", "Conv 1x8x3x3 c:4x8x1x1 c:4 | | Relu AddConv:8",
        "Conv 1x8x5x5 c:4x8x1x1 c:4 | strides=2,2 | AddConv:8", "Conv 1x8x3x3 c:4x8x3x3 c:4 | pads=1,1,1,1 | AddConv:8",
        "Conv 1x8x3x3 c:4x4x1x1 c:4 | group=2 | AddConv:8"})
    EXPECT_TRUE(groups_of(line).empty()) << line;
}

// A pair is found from one side, and only where nobody else reads either sum.
TEST(TwoConvs, AreFoundOnce) {
  auto parsed = rows::parse_case("Conv 1x8x3x3 c:4x8x1x1 c:4 | | AddConv:8 Relu", 1);
  ASSERT_TRUE(parsed.ok());
  size_t groups = 0;
  const Node* other = nullptr;
  for (const auto& node : parsed->graph->nodes())
    if (node->is("Conv")) groups += two_convs().match(*parsed->graph, *node).size(), other = node.get();
  EXPECT_EQ(groups, 2u);
  ASSERT_NE(other, parsed->anchor);
  parsed->graph->outputs.push_back(other->output());
  parsed->graph->output_names.push_back("seen");
  EXPECT_TRUE(two_convs().match(*parsed->graph, *parsed->anchor).empty());
}

TEST(TwoConvs, AreFloat16Alone) {
  auto parsed = rows::parse_case("Conv 1x8x3x3 c:4x8x1x1 c:4 | | AddConv:8 Relu", 1);
  ASSERT_TRUE(parsed.ok());
  const Group group = two_convs().match(*parsed->graph, *parsed->anchor)[0];
  EXPECT_EQ(two_convs().refuse(group), "not float16, which it multiplies in");
  rows::allow_tf32(*parsed->graph);
  EXPECT_EQ(two_convs().refuse(group), "not float16, which it multiplies in");
  rows::allow_half(*parsed->graph);
  EXPECT_EQ(two_convs().refuse(group), "");
}

// Pixel by pixel: nothing is written that a part still reads.
TEST(Overlap, WritesNothingThatIsStillToBeRead) {
  for (const int64_t pixels : {1, 255, 256, 257, 300, 1000, 5000})
    for (const int64_t from : {2, 16, 128})
      for (const int64_t to : {2, 16, 300}) {
        const cuda::Overlap o = cuda::Overlap::of(pixels, from, to, 0);
        SCOPED_TRACE(fmt::format("{} pixels of {} and {} bytes", pixels, from, to));
        if (!o.first) {
          EXPECT_EQ(o.lead(), -1);
          continue;
        }
        ASSERT_LT(o.first, pixels);
        EXPECT_GE(o.lead(), o.first * to);                  // the first part's end, where the input begins
        EXPECT_GE(o.lead() + o.first * from, pixels * to);  // the second's, where its input begins
        if (pixels >= 1000) EXPECT_LT(o.lead(), pixels * to);
        std::vector<std::byte> memory(static_cast<size_t>(o.lead() + pixels * (from + to)));
        EXPECT_TRUE(o.used(memory.data() + pixels * to - 1, memory.data()));
        EXPECT_FALSE(o.used(memory.data() + pixels * to, memory.data()));
        EXPECT_FALSE(o.used(memory.data(), memory.data() + pixels * from));
      }
}

TEST(Overlap, IsForWhatTakesLongerThanALaunch) {
  EXPECT_EQ(cuda::Overlap::of(1 << 16, 512, 511).lead(), -1);
  EXPECT_GT(cuda::Overlap::of(1 << 16, 512, 512).lead(), 0);
}

TEST(Overlap, SavesAThirdOfAShortcutThatDoublesTheChannels) {
  const cuda::Overlap o = cuda::Overlap::of(92416, 1024, 2048);
  EXPECT_NEAR(static_cast<double>(o.lead()) / (92416 * 2048), 2.0 / 3, 0.01);
}

}  // namespace
}  // namespace fovea::core
