// Heads as detectors are exported, at random: joined, decoded, and filtered on the device as the reference does it node
// by node.
#include <gtest/gtest.h>

#include <random>

#include "ir/infer.h"
#include "kernels/cuda/cuda_runner.h"
#include "kernels/cuda/detect/head_map.h"
#include "ops/axis.h"
#include "ops/decode_boxes.h"
#include "ops/nms.h"
#include "ops/op.h"
#include "ops/reshape.h"
#include "ops/softmax.h"
#include "ops/transpose.h"

namespace fovea::core {
namespace {

using rows::Values;

// A graph of heads, [images, boxes, numbers] or [images, numbers, boxes] in the end.
class HeadsCase {
 public:
  explicit HeadsCase(uint32_t seed) : rng_(seed) {
    images_ = pick({1, 1, 2, 3}), numbers_ = pick({1, 2, 4, 5, 21, 81, 91});
    half_ = pick({0, 1});
    order_ = pick({0, 1, 2, 3});
  }
  void set_numbers(int64_t numbers) { numbers_ = numbers; }
  void set_boxes_first() { order_ = order_ == 0 ? 4 : order_; }

  Status make_heads() {
    std::vector<Value*> pieces;
    const int64_t levels = pick({1, 2, 3, 6});
    for (int64_t l = 0; l < levels; ++l) {
      const int64_t anchors = pick({1, 2, 3, 4, 6, 9}), h = pick({1, 2, 3, 5, 10, 19}), w = pick({1, 3, 7, 16, 38});
      boxes_ += anchors * h * w;
      FOVEA_TRY_SET(Value * source, source_of(anchors, h, w));
      FOVEA_TRY_SET(source, view_of(source, anchors, h, w));
      pieces.push_back(source);
    }
    const int64_t axis = order_ == 0 || order_ == 4 ? 2 : 1;
    FOVEA_TRY_SET(concat_, add("Concat", make_attrs(AxisAttrs{axis}), pieces));
    joined_ = concat_->output();
    if (order_ == 4) return step("Transpose", make_attrs(TransposeAttrs{{0, 2, 1}}));
    if (order_ == 2) return reshape({images_, boxes_, numbers_});
    return {};
  }

  // The row takes a Concat only with what is behind it.
  Status transpose_if_bare() {
    return joined_ == concat_->output() ? step("Transpose", make_attrs(TransposeAttrs{{0, 2, 1}})) : Status();
  }

  Status decode() {
    Value* anchors = input("anchors", {boxes_, 4}, 1);
    DecodeBoxesAttrs a;
    a.variances = {0.1, 0.1, 0.2, 0.2};
    FOVEA_TRY_SET(Node * n, add("DecodeBoxes", make_attrs(a), {joined_, anchors}));
    joined_ = n->output();
    return {};
  }

  Status suppress() {
    const int64_t activation = pick({0, 1, 2});
    const double threshold = activation == 1 ? pick({40, 60, 90}) / 100.0 : pick({0, 1, 5, 50}) / 100.0;
    if (activation == 1) FOVEA_TRY(step("Sigmoid", nullptr));
    if (activation == 2) FOVEA_TRY(step("Softmax", make_attrs(SoftmaxAttrs{2})));
    NmsAttrs a;
    a.score_threshold = threshold, a.iou_threshold = 0.4, a.background = pick({-1, 0});
    a.score_compare = static_cast<NmsCompare>(pick({0, 1}));
    a.group = pick({0, 1}) ? NmsGroup::kClass : NmsGroup::kNone;
    a.pre_top_k = pick({-1, 50, 256}), a.max_per_group = pick({-1, 20}), a.max_total = pick({7, 100});
    a.output = NmsOutput::kPadded;
    FOVEA_TRY_SET(Node * n, add("Nms", make_attrs(a), {input("boxes", {images_, boxes_, 4}, 1), joined_}, 5));
    joined_ = n->output(1);
    return {};
  }

  // Inputs of halves, so that rounding them changes nothing; then all nodes by their reference kernels.
  Status evaluate() {
    for (const auto& n : graph_.nodes()) FOVEA_TRY(rows::run_reference(*n, values_));
    for (const auto& v : graph_.values())
      if (half_ && v->dtype == DType::kFloat32 && v->shape.size() == 4 && v->graph_input)
        v->storage.type = DType::kFloat16;
    return {};
  }

  const Graph& graph() const { return graph_; }
  const Node& concat() const { return *concat_; }
  const Values& values() const { return values_; }
  bool half() const { return half_; }

 private:
  int64_t pick(std::initializer_list<int64_t> from) { return from.begin()[rng_() % from.size()]; }

  Value* input(const std::string& name, const Dims& dims, double scale) {
    Value* v = graph_.add_input(name, DType::kFloat32, Shape(dims.begin(), dims.end()));
    std::vector<float> numbers(static_cast<size_t>(*element_count(dims)));
    std::normal_distribution<float> normal(0, static_cast<float>(scale));
    for (float& x : numbers) x = static_cast<float>(Half(normal(rng_)));
    if (name == "boxes" || name == "anchors")
      for (size_t i = 0; i < numbers.size(); ++i)
        numbers[i] = std::abs(numbers[i]) + (i % 4 > 1 ? 0.3f + numbers[i - 2] * (name == "boxes") : 0.0f);
    values_[v] = Tensor::of<float>(dims, std::span<const float>(numbers));
    return v;
  }

  // What a convolution leaves: the numbers alone, or with others in front or behind.
  Result<Value*> source_of(int64_t anchors, int64_t h, int64_t w) {
    const int64_t own = anchors * numbers_, front = pick({0, 0, 16, 3}), behind = front ? pick({0, 24}) : 0;
    Value* v = input(fmt::format("conv{}", boxes_), {images_, front + own + behind, h, w}, 3);
    if (front + behind == 0) return v;
    FOVEA_TRY_SET(Node * n, add("Slice", nullptr, {v, ints({front}), ints({front + own}), ints({1})}));
    return n->output();
  }

  Result<Value*> view_of(Value* v, int64_t anchors, int64_t h, int64_t w) {
    joined_ = v;
    const int64_t boxes = anchors * h * w;
    if (order_ == 0 || order_ == 4) {  // numbers above anchors: SSD as NVIDIA's examples have it
      FOVEA_TRY(reshape({images_, numbers_, boxes}));
    } else if (order_ == 3) {  // torchvision's RetinaNet
      FOVEA_TRY(reshape({images_, anchors, numbers_, h, w}));
      FOVEA_TRY(step("Transpose", make_attrs(TransposeAttrs{{0, 3, 4, 1, 2}})));
      FOVEA_TRY(reshape({images_, boxes, numbers_}));
    } else {  // pixel by pixel; flat, where the Concat comes before the numbers are told apart
      FOVEA_TRY(step("Transpose", make_attrs(TransposeAttrs{{0, 2, 3, 1}})));
      if (order_ == 1) FOVEA_TRY(reshape({images_, boxes, numbers_}));
      else FOVEA_TRY(reshape({images_, boxes * numbers_}));
    }
    return joined_;
  }

  Result<Node*> add(std::string_view op, AttrsPtr attrs, std::vector<Value*> inputs, int outputs = 1) {
    Node* n = graph_.add_node(find_op(op), std::move(attrs), std::move(inputs), outputs);
    FOVEA_TRY(infer_node(graph_, *n));
    return n;
  }
  Status step(std::string_view op, AttrsPtr attrs, std::vector<Value*> more = {}) {
    more.insert(more.begin(), joined_);
    FOVEA_TRY_SET(Node * n, add(op, std::move(attrs), std::move(more)));
    joined_ = n->output();
    return {};
  }
  Value* ints(std::initializer_list<int64_t> values) {
    return graph_.add_constant(Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, std::span(values)));
  }
  Status reshape(std::initializer_list<int64_t> shape) {
    return step("Reshape", make_attrs(ReshapeAttrs{}), {ints(shape)});
  }

  std::mt19937 rng_;
  Graph graph_{"heads"};
  Values values_;
  int64_t images_ = 1, numbers_ = 1, boxes_ = 0, order_ = 0;
  bool half_ = false;
  Node* concat_ = nullptr;
  Value* joined_ = nullptr;
};

using Outputs = std::vector<TensorPtr>;

// Element by element.
void expect_near(const Outputs& got, const Outputs& want, double tolerance) {
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i]->dtype() != DType::kFloat32) {
      ASSERT_TRUE(got[i]->same_as(*want[i])) << "output " << i;
      continue;
    }
    const auto a = got[i]->as<float>(), b = want[i]->as<float>();
    for (size_t k = 0; k < a.size(); ++k)
      ASSERT_LE(std::abs(a[k] - b[k]), tolerance * (1 + std::abs(b[k]))) << "output " << i << ", element " << k;
  }
}

// Padded detections. The device's exponential differs from the reference's in the last places, so that scores closer
// than that may change places, and with them who comes first and stays: rows that only one side has must have a partner
// on the other side with the same score.
void expect_same_detections(const Outputs& got, const Outputs& want, double tolerance) {
  const auto images = static_cast<size_t>(want[1]->dims()[0]), rows = static_cast<size_t>(want[1]->dims()[1]);
  ASSERT_TRUE(got[3]->same_as(*want[3])) << "counts";
  for (size_t image = 0; image < images; ++image) {
    auto rows_of = [&](const Outputs& o) {
      std::map<std::pair<int64_t, int64_t>, float> found;  // class and box to score
      const auto count = std::min<size_t>(rows, static_cast<size_t>(o[3]->to_ints()[image]));
      float last = std::numeric_limits<float>::infinity();
      for (size_t r = image * rows; r < image * rows + count; ++r) {
        const float score = o[1]->as<float>()[r];
        EXPECT_LE(score, last);
        last = score;
        found[{o[2]->as<int64_t>()[r], o[4]->as<int64_t>()[r]}] = score;
      }
      EXPECT_EQ(found.size(), count);
      return found;
    };
    const auto a = rows_of(got), b = rows_of(want);
    std::vector<float> only_a, only_b;
    for (const auto& [key, score] : a)
      if (auto it = b.find(key); it == b.end()) only_a.push_back(score);
      else EXPECT_LE(std::abs(score - it->second), tolerance * score);
    for (const auto& [key, score] : b)
      if (!a.contains(key)) only_b.push_back(score);
    std::ranges::sort(only_a), std::ranges::sort(only_b);
    ASSERT_EQ(only_a.size(), only_b.size());
    for (size_t i = 0; i < only_a.size(); ++i) EXPECT_LE(std::abs(only_a[i] - only_b[i]), tolerance * only_b[i]);
  }
}

// Runs the row's largest group, and compares its outputs.
void compare(const HeadsCase& c, const KernelRow& row,
             const std::function<void(const Outputs&, const Outputs&)>& expect) {
  const auto groups = row.match(c.graph(), c.concat());
  ASSERT_FALSE(groups.empty()) << "no match";
  const Group& group = groups[0];
  ASSERT_EQ(row.refuse(group), "");
  const FormatChoice formats = formats_of(row, group)[0];
  EXPECT_EQ(formats.inputs.back().storage == DType::kFloat16, c.half());
  rows::WeightsMap weights;
  PrepareContext context = rows::describe(group, formats, 1, weights);
  context.device = gpu().device.get();
  auto kernel = row.prepare(context);
  ASSERT_TRUE(kernel.ok()) << kernel.status().message();
  CudaRunner runner(*gpu().device, context, **kernel);
  std::vector<TensorPtr> inputs;
  for (const Value* v : group.inputs) inputs.push_back(v && !v->constant ? c.values().at(v) : nullptr);
  Status s = runner.set_up(inputs, formats);
  ASSERT_TRUE(s.ok()) << s.message();
  for (bool captured : {false, true}) {
    s = runner.run(captured);
    ASSERT_TRUE(s.ok()) << s.message();
    EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
    Outputs got, want;
    for (size_t i = 0; i < group.outputs.size(); ++i) {
      want.push_back(c.values().at(group.outputs[i]));
      auto t = runner.output(i, want.back()->dtype(), want.back()->dims());
      ASSERT_TRUE(t.ok()) << t.status().message();
      got.push_back(*t);
    }
    expect(got, want);
    if (testing::Test::HasFailure()) return;
  }
}

void make(HeadsCase& c, const std::function<Status()>& rest) {
  Status s = c.make_heads();
  if (s.ok()) s = rest();
  if (s.ok()) s = c.evaluate();
  ASSERT_TRUE(s.ok()) << s.message();
}

// The map alone, which needs no device: each number is where it says.
class HeadMap : public testing::TestWithParam<uint32_t> {};

TEST_P(HeadMap, SaysWhereEachNumberIs) {
  HeadsCase c(GetParam());
  make(c, [] { return Status(); });
  const auto trees = cuda::head_trees(c.graph(), c.concat());
  ASSERT_FALSE(trees.empty());
  Group group{trees[0].nodes, trees[0].sources, {trees[0].joined}};
  rows::WeightsMap weights;
  const FormatChoice formats{std::vector<Format>(group.inputs.size(), cuda::kNhwc8), {cuda::kPlain}};
  const PrepareContext context = rows::describe(group, formats, 1, weights);
  bool numbers_first = false;
  auto heads = cuda::map_heads(context, 0, trees[0].joined, numbers_first);
  ASSERT_TRUE(heads.ok()) << heads.status().message();
  const Tensor& want = *c.values().at(trees[0].joined);
  ASSERT_EQ(want.dims(), (numbers_first ? Dims{heads->images, heads->numbers, heads->boxes}
                                        : Dims{heads->images, heads->boxes, heads->numbers}));
  std::vector<int> seen(static_cast<size_t>(want.count()), 0);
  for (int i = 0; i < heads->pieces; ++i) {
    const cuda::HeadPiece& p = heads->piece[i];
    const Tensor& source = *c.values().at(trees[0].sources[static_cast<size_t>(i)]);
    const int64_t channels = source.dims()[1], pixels = source.dims()[2] * source.dims()[3];
    EXPECT_GE(p.vectors * 4 + p.begin,
              p.offset + (p.anchors - 1) * p.anchor_stride + (heads->numbers - 1) * p.number_stride + 1);
    for (int64_t image = 0; image < heads->images; ++image)
      for (uint32_t pixel = 0; pixel < p.pixels; ++pixel)
        for (uint32_t anchor = 0; anchor < p.anchors; ++anchor)
          for (uint32_t k = 0; k < heads->numbers; ++k) {
            const int64_t channel = p.offset + anchor * p.anchor_stride + k * p.number_stride;
            ASSERT_LT(channel, channels);
            const int64_t box = p.first_box + pixel * p.box_pixel + anchor * p.box_anchor;
            const int64_t to = numbers_first ? (image * heads->numbers + k) * heads->boxes + box
                                             : (image * heads->boxes + box) * heads->numbers + k;
            ++seen[static_cast<size_t>(to)];
            ASSERT_EQ(want.as<float>()[static_cast<size_t>(to)],
                      source.as<float>()[static_cast<size_t>((image * channels + channel) * pixels + pixel)]);
          }
  }
  EXPECT_TRUE(std::ranges::all_of(seen, [](int times) { return times == 1; }));
}

INSTANTIATE_TEST_SUITE_P(Seeds, HeadMap, testing::Range(0u, 60u));

class HeadsCuda : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    if (!gpu().device) GTEST_SKIP() << gpu().why;
  }
};

TEST_P(HeadsCuda, AreJoined) {
  HeadsCase c(GetParam());
  make(c, [&] { return c.transpose_if_bare(); });
  compare(c, kernel_gather_heads_cuda, [](auto& got, auto& want) { expect_near(got, want, 0); });
}

// Its exponential is another program's than the reference's: a few units in the last place.
TEST_P(HeadsCuda, AreDecoded) {
  HeadsCase c(GetParam());
  c.set_numbers(4), c.set_boxes_first();
  make(c, [&] { return c.decode(); });
  compare(c, kernel_gather_heads_cuda, [](auto& got, auto& want) { expect_near(got, want, 1e-5); });
}

TEST_P(HeadsCuda, KeepWhatTheReferenceKeeps) {
  HeadsCase c(GetParam());
  c.set_boxes_first();
  make(c, [&] { return c.suppress(); });
  compare(c, kernel_nms_heads_cuda, [](auto& got, auto& want) { expect_same_detections(got, want, 1e-5); });
}

INSTANTIATE_TEST_SUITE_P(Seeds, HeadsCuda, testing::Range(0u, 60u));

}  // namespace
}  // namespace fovea::core
