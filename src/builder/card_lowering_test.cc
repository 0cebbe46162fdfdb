#include "builder/card_lowering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "interpreter/interpreter.h"
#include "kernels/reference/detect/nms_testing.h"
#include "ops/cast.h"
#include "ops/op.h"
#include "ops/reshape.h"

namespace fovea::core {
namespace {

using test::Found;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kBoxes = 48;  // of an image of 8 x 8 x 3 numbers

// A network that hands its picture through: boxes [n,48,4] and scores [n,48,4] (or whatever is asked) are its numbers.
struct Network {
  Graph graph;
  Value* image;
  explicit Network(DType type = DType::kFloat32) {
    image = graph.add_input("image", type, {Dim(graph.declare_symbol({"n", 1, 1024, false})), 3, 8, 8});
  }
  Value* output(const std::string& name, std::vector<int64_t> shape, Value* from = nullptr) {
    Value* target =
        graph.add_constant(Tensor::of<int64_t>({static_cast<int64_t>(shape.size())}, std::span<const int64_t>(shape)));
    Node* node = graph.add_node(find_op("Reshape"), make_attrs(ReshapeAttrs{}), {from ? from : image, target});
    EXPECT_TRUE(infer_node(graph, *node).ok());
    graph.rename(node->output(), name);
    graph.outputs.push_back(node->output());
    graph.output_names.push_back(name);
    return node->output();
  }
  Value* input(const std::string& name, DType type, Shape shape) {
    return graph.add_input(name, type, std::move(shape));
  }
};

ModelCard small_card() {
  ModelCard card;
  card.picture.input = "image";
  card.picture.resize = {.mode = ResizeMode::kStretch, .height = 8, .width = 8};
  card.picture.pad_value = {0, 0, 0}, card.picture.mean = {0, 0, 0}, card.picture.std = {1, 1, 1};
  card.outputs.boxes = "deltas", card.outputs.scores = "logits";
  card.outputs.normalized = true;
  card.postprocess.emplace();
  return card;
}

InputCard input_card(std::string name, InputRole role = InputRole::kConstant, std::vector<double> value = {0}) {
  InputCard card;
  card.name = std::move(name), card.role = role, card.value = std::move(value);
  return card;
}

TensorPtr random_input(std::mt19937& rng, int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> v;
  for (int64_t i = 0; i < n * kBoxes * 4; ++i) v.push_back(normal(rng));
  return Tensor::of<float>({n, 3, 8, 8}, std::span<const float>(v));
}

TensorPtr random_anchors(std::mt19937& rng) {
  std::uniform_real_distribution<float> unit(0.1f, 0.9f);
  std::vector<float> v;
  for (int64_t i = 0; i < kBoxes * 4; ++i) v.push_back(unit(rng));
  return Tensor::of<float>({kBoxes, 4}, std::span<const float>(v));
}

// softmax(x) and SSD's decode, in float64.
test::Scene decoded_scene(const TensorPtr& input, const TensorPtr& anchors) {
  test::Scene s{input->dims()[0], kBoxes, 1, 4, {}, {}};
  const std::vector<double> x = input->to_doubles(), a = anchors->to_doubles();
  for (size_t i = 0; i < x.size(); i += 4) {
    double sum = 0;
    for (size_t k = 0; k < 4; ++k) sum += std::exp(x[i + k]);
    for (size_t k = 0; k < 4; ++k) s.scores.push_back(static_cast<float>(std::exp(x[i + k]) / sum));
    const double* p = &a[i % (kBoxes * 4)];
    const double cx = x[i] * 0.1 * p[2] + p[0], cy = x[i + 1] * 0.1 * p[3] + p[1], w = std::exp(x[i + 2] * 0.2) * p[2],
                 h = std::exp(x[i + 3] * 0.2) * p[3];
    for (double v : {cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2})
      s.boxes.push_back(static_cast<float>(std::clamp(v, 0.0, 1.0)));
  }
  return s;
}

void expect_detections(const std::vector<TensorPtr>& out, const std::vector<Found>& want) {
  ASSERT_EQ(out[1]->count(), static_cast<int64_t>(want.size()));
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(out[2]->as<int64_t>()[i], want[i].label);
    EXPECT_EQ(out[3]->as<int64_t>()[i], want[i].image);
    EXPECT_NEAR(out[1]->as<float>()[i], want[i].score, 1e-6);
    for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(out[0]->as<float>()[4 * i + k], want[i].corners[k], 2e-6);
  }
}

std::vector<TensorPtr> evaluate(const Graph& graph, std::vector<TensorPtr> inputs) {
  auto r = evaluate_graph(graph, inputs);
  EXPECT_TRUE(r.ok()) << r.status().message();
  return r.ok() ? r->outputs : std::vector<TensorPtr>();
}

TEST(CardLowering, Ssd) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    Network net;
    net.output("deltas", {0, kBoxes, 4});
    net.output("logits", {0, kBoxes, 4});
    ModelCard card = small_card();
    PostprocessCard& p = *card.postprocess;
    p.activation = Activation::kSoftmax, p.background = 0;
    p.decode = BoxDecode::kSsd, p.variances = {0.1, 0.1, 0.2, 0.2}, p.clip = true, p.anchors = "anchors.npy";
    p.score_threshold = 0.3, p.iou_threshold = 0.5, p.top_k = 20, p.max_per_class = 10, p.max_detections = 15;
    card.outputs.label_offset = -1;
    TensorPtr anchors = random_anchors(rng);
    auto lowered = lower_card(net.graph, card, anchors);
    ASSERT_TRUE(lowered.ok()) << lowered.status().message();
    EXPECT_THAT(net.graph.output_names, ElementsAre("boxes", "scores", "labels", "images"));

    const int64_t n = 1 + rng() % 3;
    TensorPtr input = random_input(rng, n);
    const test::Scene scene = decoded_scene(input, anchors);
    std::vector<Found> want;
    for (int64_t b = 0; b < n; ++b)
      for (const Found& f : test::per_class_nms(
               scene, b, 0, 20, 10, 15, [](float v) { return v > 0.3f; },
               [](const float*x, const float*y) { return test::torch_iou(x, y) > 0.5f; }))
        want.push_back(f);
    expect_detections(evaluate(net.graph, {input}), want);
  }
}

TEST(CardLowering, TheNewCardDescribesTheNewOutputs) {
  std::mt19937 rng(1);
  Network net;
  net.output("boxes", {0, kBoxes, 4});  // the old outputs hold the names that the new ones want
  net.output("scores", {0, kBoxes, 4});
  net.output("labels", {0, 3, 8, 8});  // and one that stays
  ModelCard card = small_card();
  card.outputs.boxes = "boxes", card.outputs.scores = "scores";
  card.postprocess->decode = BoxDecode::kYxhw, card.postprocess->scales = {10, 10, 5, 5},
  card.postprocess->anchors = "a.npy";
  auto lowered = lower_card(net.graph, card, random_anchors(rng));
  ASSERT_TRUE(lowered.ok()) << lowered.status().message();
  EXPECT_THAT(net.graph.output_names, ElementsAre("boxes", "scores", "labels_1", "images", "labels"));
  const OutputsCard& o = lowered->card.outputs;
  EXPECT_EQ(o.boxes, "boxes");
  EXPECT_EQ(o.labels, "labels_1");
  EXPECT_EQ(o.image_index, "images");
  EXPECT_EQ(o.box_format, BoxFormat::kXyxy);
  EXPECT_TRUE(o.normalized);
  EXPECT_FALSE(lowered->card.postprocess);
  auto again = parse_card(to_toml(lowered->card), "engine");
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(*again, lowered->card);
  EXPECT_EQ(evaluate(net.graph, {random_input(rng, 2)}).size(), 5u);
}

// Boxes and labels that the network gives itself: suppression within labels, or across them.
TEST(CardLowering, LabelsBesideScores) {
  for (bool agnostic : {false, true}) {
    for (DType label_type : {DType::kInt64, DType::kInt32, DType::kFloat32}) {
      Graph g;
      Value* image = g.add_input("image", DType::kFloat32, {1, 3, 8, 8});
      (void)image;
      g.outputs = {g.add_input("b", DType::kFloat32, {1, 3, 4}), g.add_input("s", DType::kFloat32, {1, 3}),
                   g.add_input("l", label_type, {1, 3})};
      g.output_names = {"b", "s", "l"};
      ModelCard card = small_card();
      card.outputs.boxes = "b", card.outputs.scores = "s", card.outputs.labels = "l";
      card.outputs.box_format = BoxFormat::kCxcywh;
      card.inputs = {input_card("b"), input_card("s"), input_card("l")};
      card.postprocess->iou_threshold = 0.5, card.postprocess->class_agnostic = agnostic;
      auto lowered = lower_card(g, card, nullptr);
      ASSERT_TRUE(lowered.ok()) << lowered.status().message();
      EXPECT_EQ(lowered->card.outputs.box_format, BoxFormat::kCxcywh);
      TensorPtr labels = Tensor::of<int64_t>({1, 3}, {7, 7, 9});
      if (label_type == DType::kInt32) labels = Tensor::of<int32_t>({1, 3}, {7, 7, 9});
      if (label_type == DType::kFloat32) labels = Tensor::of<float>({1, 3}, {7, 7, 9});
      auto out = evaluate(g, {*Tensor::allocate(DType::kFloat32, {1, 3, 8, 8}),
                              Tensor::of<float>({1, 3, 4}, {5, 5, 2, 2, 5, 5, 2, 2.2f, 5, 5, 2, 2.1f}),
                              Tensor::of<float>({1, 3}, {.5f, .7f, .6f}), labels});
      ASSERT_EQ(out.size(), 4u);
      if (agnostic) EXPECT_THAT(out[2]->to_ints(), ElementsAre(7));
      else EXPECT_THAT(out[2]->to_ints(), ElementsAre(7, 9));
      EXPECT_THAT(out[0]->as<float>().first(4), ElementsAre(5, 5, 2, 2.2f));
    }
  }
}

// One output for boxes and scores, as YOLOs have it: two boxes on each other, one apart.
struct Joined {
  JoinedLayout layout = JoinedLayout::kBnc;
  bool objectness = false;
  DType type = DType::kFloat32;
  Activation activation = Activation::kNone;
};

std::vector<TensorPtr> detections_of(const Joined& joined, const std::vector<float>& rows, int64_t columns) {
  const auto n = static_cast<int64_t>(rows.size()) / columns;
  Graph g;
  g.add_input("image", DType::kFloat32, {1, 3, 8, 8});
  const bool bnc = joined.layout == JoinedLayout::kBnc;
  Value* in = g.add_input("in", DType::kFloat32, {1, bnc ? n : columns, bnc ? columns : n});
  CastAttrs cast;
  cast.to = joined.type;
  Node* node = g.add_node(find_op("Cast"), make_attrs(cast), {in});
  EXPECT_TRUE(infer_node(g, *node).ok());
  g.rename(node->output(), "output0");
  g.outputs = {node->output(), in}, g.output_names = {"output0", "raw"};
  ModelCard card = small_card();
  card.inputs = {input_card("in")};
  OutputsCard& o = card.outputs;
  o = {.joined = "output0", .joined_layout = joined.layout, .objectness = joined.objectness};
  o.box_format = BoxFormat::kCxcywh;
  PostprocessCard& p = *card.postprocess;
  p.activation = joined.activation, p.candidates = Candidates::kArgmax;
  p.score_threshold = 0.2, p.iou_threshold = 0.5;
  auto lowered = lower_card(g, card, nullptr);
  EXPECT_TRUE(lowered.ok()) << lowered.status().message();
  if (!lowered.ok()) return {};
  EXPECT_THAT(g.output_names, ElementsAre("boxes", "scores", "labels", "images", "raw"));
  auto again = parse_card(to_toml(lowered->card), "engine");
  EXPECT_TRUE(again.ok()) << again.status().message();
  std::vector<float> data = rows;
  if (!bnc)
    for (int64_t i = 0; i < n * columns; ++i)
      data[static_cast<size_t>(i % columns * n + i / columns)] = rows[static_cast<size_t>(i)];
  return evaluate(g,
                  {*Tensor::allocate(DType::kFloat32, {1, 3, 8, 8}),
                   Tensor::of<float>(bnc ? Dims{1, n, columns} : Dims{1, columns, n}, std::span<const float>(data))});
}

TEST(CardLowering, OneOutputForBoxesAndScores) {
  for (const JoinedLayout layout : {JoinedLayout::kBnc, JoinedLayout::kBcn})
    for (const DType type : {DType::kFloat32, DType::kFloat16}) {
      SCOPED_TRACE(fmt::format("{} {}", to_string(layout), to_string(type)));
      // IoU of the first two 4 * 4 / (4 * 5) = 0.8
      auto out = detections_of({.layout = layout, .type = type},
                               {10, 10, 4, 4, .5f, .25f,    //
                                10, 10, 4, 5, .75f, .125f,  //
                                30, 20, 2, 8, .25f, .625f},
                               6);
      ASSERT_EQ(out.size(), 5u);
      EXPECT_THAT(out[0]->as<float>(), ElementsAre(10, 10, 4, 5, 30, 20, 2, 8));
      EXPECT_THAT(out[1]->as<float>(), ElementsAre(.75f, .625f));
      EXPECT_THAT(out[2]->to_ints(), ElementsAre(0, 1));
      // objectness turns the first two around, and takes the third below the threshold
      out = detections_of({.layout = layout, .objectness = true, .type = type}, {10, 10, 4, 4, 1,    .5f,  .25f,   //
                                                                                 10, 10, 4, 5, .5f,  .75f, .125f,  //
                                                                                 30, 20, 2, 8, .25f, .25f, .625f},
                          7);
      ASSERT_EQ(out.size(), 5u);
      EXPECT_THAT(out[0]->as<float>(), ElementsAre(10, 10, 4, 4));
      EXPECT_THAT(out[1]->as<float>(), ElementsAre(.5f));
      // sigmoid(0) = 1/2 of both; of -20 nothing is left
      out = detections_of({.layout = layout, .objectness = true, .type = type, .activation = Activation::kSigmoid},
                          {10, 10, 4, 4, 0, -20, 0,  //
                           30, 20, 2, 8, -20, 0, 0},
                          7);
      ASSERT_EQ(out.size(), 5u);
      EXPECT_THAT(out[0]->as<float>(), ElementsAre(10, 10, 4, 4));
      EXPECT_THAT(out[1]->as<float>(), ElementsAre(.25f));
      EXPECT_THAT(out[2]->to_ints(), ElementsAre(1));
    }
}

TEST(CardLowering, HalfPrecisionHeadsComeOutAsFloat) {
  Network net(DType::kFloat16);
  net.output("deltas", {0, kBoxes, 4});
  net.output("logits", {0, kBoxes, 4});
  ModelCard card = small_card();
  card.postprocess->activation = Activation::kSigmoid;
  card.postprocess->max_detections = 5;
  auto lowered = lower_card(net.graph, card, nullptr);
  ASSERT_TRUE(lowered.ok()) << lowered.status().message();
  for (size_t i : {0, 1}) EXPECT_EQ(net.graph.outputs[i]->dtype, DType::kFloat32);
  EXPECT_EQ(lowered->preprocess->outputs[0]->dtype, DType::kFloat16);
  EXPECT_EQ(evaluate(net.graph, {*Tensor::allocate(DType::kFloat16, {1, 3, 8, 8})})[1]->count(), 5);
}

TEST(CardLowering, AThresholdOfOneSuppressesNothing) {
  for (Comparison compare : {Comparison::kGreater, Comparison::kGreaterEqual}) {
    Network net;
    net.output("deltas", {0, kBoxes, 4});
    net.output("logits", {0, kBoxes, 4});
    ModelCard card = small_card();
    card.postprocess->iou_compare = compare;
    ASSERT_TRUE(lower_card(net.graph, card, nullptr).ok());
    std::vector<float> ones(kBoxes * 4, 1);
    for (size_t i = 0; i < ones.size(); i += 4) ones[i] = ones[i + 1] = 0.5f;  // equal boxes with an area
    EXPECT_EQ(evaluate(net.graph, {Tensor::of<float>({1, 3, 8, 8}, std::span<const float>(ones))})[1]->count(),
              kBoxes * 4);
  }
}

TEST(CardLowering, PreprocessGraph) {
  Network net;
  net.output("deltas", {0, kBoxes, 4});
  net.output("logits", {0, kBoxes, 4});
  ModelCard card = small_card();
  card.picture.scale = 0.5, card.picture.mean = {1, 2, 3}, card.picture.std = {1, 2, 4};
  auto lowered = lower_card(net.graph, card, nullptr);
  ASSERT_TRUE(lowered.ok()) << lowered.status().message();
  const Graph& g = *lowered->preprocess;
  EXPECT_EQ(g.inputs[0]->name, "picture");
  EXPECT_THAT(g.output_names, ElementsAre("image"));
  std::vector<uint8_t> picture(5 * 11 * 3, 100);
  auto out = evaluate(g, {Tensor::of<uint8_t>({5, 11, 3}, std::span<const uint8_t>(picture))});
  ASSERT_EQ(out[0]->dims(), (Dims{1, 3, 8, 8}));
  EXPECT_FLOAT_EQ(out[0]->as<float>()[0], 49);
  EXPECT_FLOAT_EQ(out[0]->as<float>()[64], 24);
  EXPECT_FLOAT_EQ(out[0]->as<float>()[128], 11.75);
}

TEST(CardLowering, WithoutPostprocessNothingMoves) {
  Network net;
  net.output("boxes", {-1, 4});
  net.output("scores", {-1});
  net.output("labels", {-1});
  ModelCard card = small_card();
  card.postprocess.reset();
  card.outputs = {.boxes = "boxes", .scores = "scores", .labels = "labels"};
  auto lowered = lower_card(net.graph, card, nullptr);
  ASSERT_TRUE(lowered.ok()) << lowered.status().message();
  EXPECT_EQ(lowered->card, card);
  EXPECT_EQ(net.graph.node_count(), 3);
  EXPECT_TRUE(lowered->preprocess);
}

// ---- mistakes: key, tensor, expected, found

std::string message(const ModelCard& card, const std::function<void(Network&)>& build, TensorPtr anchors = nullptr) {
  Network net;
  build(net);
  auto r = lower_card(net.graph, card, std::move(anchors));
  if (r.ok()) return "ok";
  EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidArgument);
  return r.status().message();
}

void heads(Network& net) {
  net.output("deltas", {0, kBoxes, 4});
  net.output("logits", {0, kBoxes, 4});
}

TEST(CardMistakes, Inputs) {
  ModelCard card = small_card();
  card.picture.input = "imagee";
  EXPECT_THAT(message(card, heads),
              HasSubstr("picture.input: the network has no input 'imagee'; did you mean 'image'?"));
  card = small_card(), card.picture.layout = PictureLayout::kChw;
  EXPECT_THAT(
      message(card, heads),
      HasSubstr("picture.input: tensor 'image': expected rank 3 with layout = \"chw\", found float32 [n,3,8,8]"));
  card = small_card(), card.picture.color = ColorOrder::kGray;
  EXPECT_THAT(message(card, heads), HasSubstr("picture.color: tensor 'image': expected 1 channels"));
  card = small_card(), card.picture.resize.height = 16;
  EXPECT_THAT(message(card, heads), HasSubstr("picture.size: tensor 'image': expected height and width 16 x 8"));
  card = small_card(), card.picture.resize = {.mode = ResizeMode::kShortestSide, .min_side = 8, .max_side = 10};
  EXPECT_THAT(message(card, heads), HasSubstr("picture.resize: tensor 'image': expected height and width left open"));
  card = small_card(), card.inputs = {input_card("mask", InputRole::kPaddingMask)};
  EXPECT_THAT(message(card, heads), HasSubstr("inputs[0].name: the network has no input 'mask'; there are 'image'"));
  const auto with_input = [](Network& net) {
    heads(net);
    net.input("sizes", DType::kInt64, {1, 3});
  };
  EXPECT_THAT(message(small_card(), with_input),
              HasSubstr("the network's input 'sizes', int64 [1,3], has no [[inputs]] section"));
  card = small_card(), card.inputs = {input_card("sizes", InputRole::kOriginalSize)};
  EXPECT_THAT(message(card, with_input),
              HasSubstr("inputs[0].role: tensor 'sizes': expected height and width in the last axis"));
  card.inputs = {input_card("sizes", InputRole::kConstant, {1, 2})};
  EXPECT_THAT(message(card, with_input), HasSubstr("expected the 2 elements of value"));
}

TEST(CardMistakes, Outputs) {
  ModelCard card = small_card();
  card.outputs.boxes = "delta";
  EXPECT_THAT(message(card, heads),
              HasSubstr("outputs.boxes: the network has no output 'delta'; did you mean 'deltas'?"));
  card = small_card(), card.outputs.scores = "something else";
  EXPECT_THAT(message(card, heads),
              HasSubstr("outputs.scores: the network has no output 'something else'; there are 'deltas', 'logits'"));
  card = small_card();
  EXPECT_THAT(
      message(card,
              [](Network& net) {
                net.output("deltas", {0, 64, 3});
                net.output("logits", {0, 64, 3});
              }),
      HasSubstr(
          "outputs.boxes: tensor 'deltas': expected floating-point [B,N,4] or [B,N,C,4], found float32 [n,64,3]"));
  EXPECT_THAT(
      message(card,
              [](Network& net) {
                net.output("deltas", {0, 48, 4});
                net.output("logits", {0, 64, 3});
              }),
      HasSubstr("outputs.scores: tensor 'logits': expected the rows of 'deltas', [n,48,4], found float32 [n,64,3]"));
  EXPECT_THAT(message(card,
                      [](Network& net) {
                        net.output("deltas", {0, 48, 4});
                        net.output("logits", {0, 192});
                      }),
              HasSubstr("outputs.scores: tensor 'logits': expected [B,N,C]"));
  card = small_card(), card.outputs = {.joined = "deltas", .joined_layout = JoinedLayout::kBcn, .objectness = true};
  EXPECT_THAT(message(card, heads), "ok");  // 48 numbers a box
  card.outputs.joined_layout = JoinedLayout::kBnc;
  EXPECT_THAT(
      message(card, heads),
      HasSubstr("outputs.joined: tensor 'deltas': expected floating-point [B,N,C] with at least 6 numbers a box, C, "
                "with joined_layout = \"bnc\", found float32 [n,48,4]"));
  card.outputs.joined = "delta";
  EXPECT_THAT(message(card, heads),
              HasSubstr("outputs.joined: the network has no output 'delta'; did you mean 'deltas'?"));
  card = small_card(), card.postprocess->background = 4;
  EXPECT_THAT(message(card, heads), HasSubstr("postprocess.background: tensor 'logits': expected a column 4"));
  card = small_card(), card.postprocess->decode = BoxDecode::kSsd;
  EXPECT_THAT(
      message(card, heads, Tensor::of<float>({1, 4}, {0, 0, 1, 1})),
      HasSubstr(
          "postprocess.anchors: expected an anchor for each of the 48 boxes of 'deltas', float32 [n,48,4], found 1"));
  card = small_card(), card.postprocess.reset(), card.outputs.count = "logits";
  EXPECT_THAT(message(card,
                      [](Network& net) {
                        net.output("deltas", {-1, 4});
                        net.output("logits", {-1});
                      }),
              HasSubstr("outputs.boxes: tensor 'deltas': expected [B,N,4] beside outputs.count"));
}

}  // namespace
}  // namespace fovea::core
