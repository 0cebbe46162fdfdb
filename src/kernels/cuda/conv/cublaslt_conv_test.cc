// Which convolutions are taken for matrix products, and what may follow them. Needs no GPU.
#include <gtest/gtest.h>

#include "kernels/cpu/row_cases.h"
#include "kernels/cuda/table.h"

namespace fovea::core {
namespace {

// The number of nodes of each group that the row takes, the largest first.
std::vector<size_t> groups_of(std::string_view line) {
  auto parsed = rows::parse_case(line, 1);
  EXPECT_TRUE(parsed.ok()) << line;
  std::vector<size_t> sizes;
  for (const KernelRow* row : cuda_kernels())
    if (row->name == "cublaslt_conv")
      for (const Group& g : row->match(*parsed->graph, *parsed->anchor)) {
        EXPECT_EQ(row->refuse(g), "") << line;
        EXPECT_EQ(g.residual >= 0, std::ranges::any_of(g.nodes, [](auto* n) { return n->is("Add"); })) << line;
        sizes.push_back(g.nodes.size());
      }
  return sizes;
}

using Sizes = std::vector<size_t>;

TEST(CublasLtConv, TakesBiasResidualAndReluInThatOrder) {
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | |"), Sizes({1}));
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 - | | Relu"), Sizes({2, 1}));
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | | Add"), Sizes({2, 1}));
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | dilations=2,2 | Add Relu"), Sizes({3, 2, 1}));
}

TEST(CublasLtConv, LeavesTheRestToOthers) {
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | | Relu Add"), Sizes({2, 1}));
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | | Relu Add Relu"), Sizes({2, 1}));
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | | Sigmoid"), Sizes({1}));
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | strides=2,1 |"), Sizes());
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x1 c:4 | pads=0,0,1,0 |"), Sizes());
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x4x1x1 c:4 | group=2 |"), Sizes());
  EXPECT_EQ(groups_of("Conv 1x8x3x3 c:4x8x1x2 c:4 | |"), Sizes());
}

}  // namespace
}  // namespace fovea::core
