#include "picture/inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fovea::core {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;

// Paddle's form: the input that is not the picture comes first, and shares the batch's symbol.
struct Network {
  Graph graph;
  ModelCard card;
  Network() {
    const Dim n(graph.declare_symbol({"n", 1, 64, false})), h(graph.declare_symbol({"h", 1, 4096, false})),
        w(graph.declare_symbol({"w", 1, 4096, false})), m(graph.declare_symbol({"m", 1, 64, false})),
        t(graph.declare_symbol({"tokens", 1, 77, false}));
    graph.add_input("im_shape", DType::kInt64, {n, 2});
    graph.add_input("mask", DType::kBool, {m, Dim(graph.declare_symbol({"mh", 1, 4096, false})), w});
    graph.add_input("text", DType::kInt64, {1, t});
    graph.add_input("image", DType::kFloat16, {n, 3, h, w});
    card.picture.input = "image";
    card.picture.resize = {.mode = ResizeMode::kLetterbox, .height = 320, .width = 416};
    card.inputs.resize(2);
    card.inputs[0].name = "im_shape", card.inputs[0].role = InputRole::kResizedSize;
    card.inputs[1].name = "mask", card.inputs[1].role = InputRole::kPaddingMask;
  }
};

TEST(Inputs, UsualSizesWithoutACard) {
  Network net;
  SymbolValues sizes{{"h", 480}};
  add_usual_sizes(net.graph, nullptr, 4, sizes);
  EXPECT_EQ(sizes, (SymbolValues{{"h", 480}, {"m", 64}, {"mh", 640}, {"n", 4}, {"tokens", 77}, {"w", 640}}));
  EXPECT_EQ(batch_axis(net.graph, nullptr)->str(), "n");
}

TEST(Inputs, UsualSizesOfTheCard) {
  Network net;
  SymbolValues sizes;
  add_usual_sizes(net.graph, &net.card, 4, sizes);
  EXPECT_EQ(sizes, (SymbolValues{{"h", 320}, {"m", 4}, {"mh", 320}, {"n", 4}, {"tokens", 77}, {"w", 416}}));
  net.card.picture.resize = {.mode = ResizeMode::kShortestSide, .min_side = 800, .max_side = 1333};
  sizes = {{"n", 2}};
  add_usual_sizes(net.graph, &net.card, 4, sizes);
  EXPECT_EQ(sizes, (SymbolValues{{"h", 800}, {"m", 2}, {"mh", 800}, {"n", 2}, {"tokens", 77}, {"w", 800}}));
}

TEST(Inputs, APictureWithoutBatchAxisHasNoBatch) {
  Graph graph;
  graph.add_input("prototypes", DType::kFloat32, {Dim(graph.declare_symbol({"k", 1, 64, false})), 3, 8, 8});
  graph.add_input("image", DType::kFloat32, {3, Dim(graph.declare_symbol({"h", 1, 999, false})), 8});
  ModelCard card;
  card.picture.input = "image", card.picture.layout = PictureLayout::kChw;
  EXPECT_EQ(batch_axis(graph, &card), nullptr);
  EXPECT_EQ(batch_axis(graph, nullptr)->str(), "k");
}

TEST(Inputs, ExamplesHoldWhatTheCardSays) {
  Network net;
  SymbolValues values{{"h", 6}, {"w", 8}};
  add_usual_sizes(net.graph, &net.card, 2, values);
  auto sizes = Sizes::make(net.graph, values);
  ASSERT_TRUE(sizes.ok()) << sizes.status().message();
  auto made = example_inputs(net.graph, &net.card, *sizes, 1);
  ASSERT_TRUE(made.ok()) << made.status().message();
  const auto& in = *made;
  EXPECT_THAT(in[0]->to_doubles(), ElementsAre(6, 8, 6, 8));
  EXPECT_EQ(in[1]->dims(), (Dims{2, 6, 8}));
  EXPECT_THAT(in[1]->to_doubles(), Each(0));  // nothing is padding
  EXPECT_THAT(in[2]->to_doubles(), Each(0));
  const std::vector<double> image = in[3]->to_doubles();
  EXPECT_EQ(image.size(), 2u * 3 * 6 * 8);
  EXPECT_THAT(image, Each(AllOf(testing::Ge(-6), testing::Le(6))));
  EXPECT_NE(image[0], image[1]);
}

}  // namespace
}  // namespace fovea::core
