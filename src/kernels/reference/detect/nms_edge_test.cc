// Nms where it hurts: nothing to do, limits, types, what inference refuses, and ONNX's NonMaxSuppression through its
// import.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/reference/detect/nms_testing.h"
#include "kernels/reference/testing.h"
#include "ops/nms.h"

namespace fovea::core::test {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TensorPtr floats(Dims dims, std::initializer_list<float> values) { return Tensor::of<float>(std::move(dims), values); }
TensorPtr number(float v) { return Tensor::of<float>({1}, {v}); }
TensorPtr count_of(int64_t v) { return Tensor::of<int64_t>({1}, {v}); }

std::vector<int64_t> ints(const TensorPtr& t) { return t->to_ints(); }

Result<std::vector<TensorPtr>> run_nms(const NmsAttrs& attrs, const std::vector<TensorPtr>& inputs, int outputs = 1) {
  RunOptions options;
  options.outputs = outputs;
  return run_op("Nms", make_attrs(attrs), inputs, options);
}

Indices indices_of(const TensorPtr& t) {
  Indices out;
  std::vector<int64_t> v = t->to_ints();
  for (size_t i = 0; i + 2 < v.size(); i += 3) out.push_back({v[i], v[i + 1], v[i + 2]});
  return out;
}

TEST(NmsEdges, NothingInNothingOut) {
  for (const Dims& dims : {Dims{0, 5, 2}, Dims{2, 0, 2}, Dims{2, 5, 0}}) {
    auto boxes = Tensor::allocate(DType::kFloat32, {dims[0], dims[1], 4}),
         scores = Tensor::allocate(DType::kFloat32, dims);
    ASSERT_TRUE(boxes.ok() && scores.ok());
    NmsAttrs a;
    auto r = run_nms(a, {*boxes, *scores}, 2);
    ASSERT_TRUE(r.ok()) << r.status().message();
    EXPECT_EQ((*r)[0]->dims(), (Dims{0, 3}));
    EXPECT_EQ((*r)[1]->dims(), (Dims{0}));
    a.output = NmsOutput::kDetections;
    r = run_nms(a, {*boxes, *scores}, 5);
    ASSERT_TRUE(r.ok()) << r.status().message();
    EXPECT_EQ((*r)[0]->dims(), (Dims{0, 4}));
    a.output = NmsOutput::kPadded, a.max_total = 3, a.fill = NmsFill::kMinusOne;
    r = run_nms(a, {*boxes, *scores}, 4);
    ASSERT_TRUE(r.ok()) << r.status().message();
    EXPECT_EQ((*r)[1]->dims(), (Dims{dims[0], 3}));
    EXPECT_THAT((*r)[1]->as<float>(), ::testing::Each(-1));
    EXPECT_THAT(ints((*r)[3]), ::testing::Each(0));
  }
}

TEST(NmsEdges, LimitsOfZeroGiveNothing) {
  auto boxes = floats({1, 2, 4}, {0, 0, 1, 1, 2, 2, 3, 3}), scores = floats({1, 2, 1}, {0.5f, 0.6f});
  NmsAttrs a;
  for (int64_t NmsAttrs::*limit : {&NmsAttrs::max_per_group, &NmsAttrs::max_total, &NmsAttrs::pre_top_k}) {
    NmsAttrs b = a;
    b.*limit = 0;
    auto r = run_nms(b, {boxes, scores});
    ASSERT_TRUE(r.ok()) << r.status().message();
    EXPECT_EQ((*r)[0]->dims(), (Dims{0, 3}));
  }
  auto r = run_nms(a, {boxes, scores, nullptr, count_of(-1)});
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_EQ((*r)[0]->dims(), (Dims{0, 3})) << "a negative number in the input counts as 0";
}

TEST(NmsEdges, IouEqualToTheThreshold) {
  // Intersection 1, union 2: IoU exactly 0.5.
  auto boxes = floats({1, 2, 4}, {0, 0, 1, 1, 0, 0, 1, 2}), scores = floats({1, 2, 1}, {0.9f, 0.8f});
  NmsAttrs a;
  a.iou_threshold = 0.5;
  EXPECT_EQ((*run_nms(a, {boxes, scores}))[0]->dims()[0], 2);
  a.iou_compare = NmsCompare::kGreaterEqual;
  EXPECT_EQ((*run_nms(a, {boxes, scores}))[0]->dims()[0], 1);
}

TEST(NmsEdges, ScoreEqualToTheThreshold) {
  auto boxes = floats({1, 1, 4}, {0, 0, 1, 1}), scores = floats({1, 1, 1}, {0.05f});
  NmsAttrs a;
  a.score_threshold = 0.05;  // not a float: compared as the nearest one
  EXPECT_EQ((*run_nms(a, {boxes, scores}))[0]->dims()[0], 1);
  a.score_compare = NmsCompare::kGreater;
  EXPECT_EQ((*run_nms(a, {boxes, scores}))[0]->dims()[0], 0);
}

TEST(NmsEdges, TiesGoToTheLowestBoxThenTheLowestClass) {
  auto boxes = floats({1, 3, 4}, {0, 0, 1, 1, 5, 5, 6, 6, 0, 0, 1, 1}),
       scores = floats({1, 3, 2}, {.5f, .5f, .5f, .7f, .5f, .5f});
  NmsAttrs a;
  a.iou_threshold = 0.5, a.output = NmsOutput::kDetections;
  auto r = *run_nms(a, {boxes, scores}, 5);
  EXPECT_THAT(ints(r[4]), ElementsAre(1, 0, 0, 1));
  EXPECT_THAT(ints(r[2]), ElementsAre(1, 0, 1, 0));
}

TEST(NmsEdges, ClassOfARowIsItsGroupWhereScoresHaveNone) {
  auto boxes = floats({1, 2, 4}, {0, 0, 1, 1, 0, 0, 1, 1}), scores = floats({1, 2}, {.5f, .7f});
  NmsAttrs a;
  a.iou_threshold = 0.5, a.output = NmsOutput::kDetections, a.group = NmsGroup::kExplicit, a.class_offset = 1;
  for (auto group : {Tensor::of<int64_t>({1, 2}, {7, -3}), Tensor::of<int32_t>({1, 2}, {7, -3})}) {
    auto r = run_nms(a, {boxes, scores, group}, 5);
    ASSERT_TRUE(r.ok()) << r.status().message();
    EXPECT_THAT(ints((*r)[2]), ElementsAre(-2, 8));
  }
  a.group = NmsGroup::kNone;  // the numbers name classes, and boxes of different classes compete
  auto named = run_nms(a, {boxes, scores, Tensor::of<int64_t>({1, 2}, {7, -3})}, 5);
  ASSERT_TRUE(named.ok()) << named.status().message();
  EXPECT_THAT(ints((*named)[2]), ElementsAre(-2));
  a.group = NmsGroup::kExplicit, a.output = NmsOutput::kIndices;
  auto r = run_nms(a, {boxes, scores, Tensor::of<int64_t>({1, 2}, {7, -3})});
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_THAT(indices_of((*r)[0]), ElementsAre(std::array<int64_t, 3>{0, 0, 1}, std::array<int64_t, 3>{0, 0, 0}));
}

TEST(NmsEdges, CentreAndCornerWithSize) {
  auto centre = floats({1, 2, 4}, {2, 2, 2, 4, 2, 2, 2, 3}), corner = floats({1, 2, 4}, {1, 0, 2, 4, 1, 0.5f, 2, 3}),
       scores = floats({1, 2, 1}, {.5f, .7f});
  NmsAttrs a;
  a.iou_threshold = 0.7;  // IoU 6/8
  a.box_form = NmsBoxForm::kCentre;
  EXPECT_THAT(ints((*run_nms(a, {centre, scores}))[0]), ElementsAre(0, 0, 1));
  a.box_form = NmsBoxForm::kXywh;
  EXPECT_THAT(ints((*run_nms(a, {corner, scores}))[0]), ElementsAre(0, 0, 1));
  a.iou_threshold = 0.8;
  EXPECT_EQ((*run_nms(a, {corner, scores}))[0]->dims()[0], 2);
}

TEST(NmsEdges, OtherTypesComputeAlike) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    Scene s = random_scene(rng, 2, 20, 1, 3, Nasty::kGrid);  // exact in every type
    NmsAttrs a;
    a.iou_threshold = 0.5, a.output = NmsOutput::kDetections;
    auto want = *run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    for (DType type : {DType::kFloat16, DType::kBFloat16, DType::kFloat64}) {
      const auto convert = [&](const TensorPtr& from) {
        auto t = *Tensor::allocate(type, from->dims());
        dispatch_dtype(type, [&](auto tag) {
          using T = typename decltype(tag)::type;
          if constexpr (std::is_constructible_v<T, float>)
            for (int64_t i = 0; i < from->count(); ++i)
              reinterpret_cast<T*>(t->mutable_data())[i] = T(from->as<float>()[static_cast<size_t>(i)]);
        });
        return TensorPtr(t);
      };
      if (type == DType::kBFloat16) continue;  // 0.7f * k / 4 is not exact in it
      auto boxes = convert(s.box_tensor()), scores = convert(s.score_tensor());
      if (type == DType::kFloat16) {
        auto got = run_nms(a, {s.box_tensor(), scores}, 5);
        ASSERT_TRUE(got.ok()) << got.status().message();
        EXPECT_EQ(ints((*got)[4]), ints(want[4]));
        EXPECT_EQ((*got)[1]->dtype(), DType::kFloat16);
      } else {
        auto got = run_nms(a, {boxes, scores}, 5);
        ASSERT_TRUE(got.ok()) << got.status().message();
        EXPECT_EQ((*got)[0]->dtype(), DType::kFloat64);
      }
    }
  }
}

TEST(NmsEdges, LimitsAsInputs) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    Scene s = random_scene(rng, 2, 25, 1, 3, static_cast<Nasty>(seed % 3));
    RunOptions options;
    options.runtime = {3, 4, 5};
    options.symbolic_shapes = seed % 2;
    NmsAttrs a;
    a.box_form = NmsBoxForm::kAnyDiagonal, a.score_compare = NmsCompare::kGreater;
    auto r = run_op("Nms", make_attrs(a),
                    {s.box_tensor(), s.score_tensor(), nullptr, count_of(3), number(0.5f), number(0.25f)}, options);
    ASSERT_TRUE(r.ok()) << r.status().message();
    EXPECT_THAT(indices_of((*r)[0]), ElementsAreArray(onnx_nms(s, 3, 0.5f, 0.25f, false)));
  }
}

// The size's bound, at these extents, must hold what the run finds; the test helper checks it too.
TEST(NmsEdges, BoundsAreTight) {
  struct Case {
    NmsAttrs attrs;
    std::string bound;
  };
  const auto with = [](auto set) {
    NmsAttrs a;
    set(a);
    return a;
  };
  const std::vector<Case> cases = {
      {NmsAttrs{}, "100"},
      {with([](NmsAttrs& a) { a.max_per_group = 4; }), "40"},
      {with([](NmsAttrs& a) { a.max_per_group = 4, a.background = 0; }), "32"},
      {with([](NmsAttrs& a) { a.max_total = 7; }), "14"},
      {with([](NmsAttrs& a) { a.candidates = NmsCandidates::kArgmax; }), "20"},
      {with([](NmsAttrs& a) { a.candidates = NmsCandidates::kTopM, a.top_m = 2; }), "40"},
      {with([](NmsAttrs& a) { a.group = NmsGroup::kNone, a.max_per_group = 4; }), "8"},
      {with([](NmsAttrs& a) { a.pre_top_k = 3, a.pre_top_k_of = NmsScope::kImage; }), "6"},
      {with([](NmsAttrs& a) { a.pre_top_k = 3; }), "30"},
  };
  for (const Case& k : cases) {
    Graph g;
    Value *boxes = g.add_input("boxes", DType::kFloat32, {2, 10, 4}),
          *scores = g.add_input("scores", DType::kFloat32, {2, 10, 5});
    Node* node = g.add_node(find_op("Nms"), make_attrs(k.attrs), {boxes, scores}, 1);
    ASSERT_TRUE(infer_node(g, *node).ok());
    ASSERT_EQ(node->sizes.size(), 1u);
    EXPECT_EQ(node->sizes[0].bound.str(), k.bound);
  }
}

TEST(NmsEdges, Refusals) {
  auto boxes = floats({1, 2, 4}, {0, 0, 1, 1, 0, 0, 1, 1}), scores = floats({1, 2, 1}, {.5f, .7f});
  const auto message = [](const NmsAttrs& a, const std::vector<TensorPtr>& in, int outputs = 1) {
    auto r = run_nms(a, in, outputs);
    return r.ok() ? std::string("ok") : r.status().message();
  };
  EXPECT_THAT(message({}, {floats({2, 4}, {0, 0, 0, 0, 0, 0, 0, 0}), scores}),
              HasSubstr("expected [B,N,4] or [B,N,Q,4], found [2,4]"));
  EXPECT_THAT(message({}, {boxes, floats({1, 3, 1}, {0, 0, 0})}),
              HasSubstr("boxes [1,2,4] and scores [1,3,1] do not belong together"));
  EXPECT_THAT(message({}, {boxes, Tensor::of<int64_t>({1, 2, 1}, {1, 2})}), HasSubstr("floating-point"));
  EXPECT_THAT(message({}, {boxes, scores, Tensor::of<int64_t>({1, 2}, {1, 2})}), HasSubstr("group = explicit"));
  NmsAttrs a;
  a.group = NmsGroup::kExplicit;
  EXPECT_THAT(message(a, {boxes, scores}), HasSubstr("needs the input 'group'"));
  a = {}, a.clip = true, a.box_form = NmsBoxForm::kCentre;
  EXPECT_THAT(message(a, {boxes, scores}), HasSubstr("corners"));
  a = {}, a.output = NmsOutput::kIndicesByScore;
  EXPECT_THAT(message(a, {floats({2, 1, 4}, {0, 0, 1, 1, 0, 0, 1, 1}), floats({2, 1}, {0, 1})}),
              HasSubstr("one image"));
  a = {}, a.top_m = 0;
  EXPECT_THAT(message(a, {boxes, scores}), HasSubstr("top_m"));
  a = {}, a.iou_threshold = NAN;
  EXPECT_THAT(message(a, {boxes, scores}), HasSubstr("NaN"));
  EXPECT_THAT(message({}, {boxes, scores}, 3), HasSubstr("2 outputs at most"));
}

TEST(NmsEdges, AttributesSurviveTheirMap) {
  NmsAttrs a;
  a.box_form = NmsBoxForm::kCentre, a.pre_top_k_of = NmsScope::kImage, a.output = NmsOutput::kPadded,
  a.fill = NmsFill::kMinusOne, a.soft_sigma = 0.5;
  const AttrsCodec codec = attrs_codec<NmsAttrs>();
  AttrsPtr first = make_attrs(a);
  auto second = codec.from_map(codec.to_map(first.get()));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(codec.to_map(first.get()), codec.to_map(second->get()));
}

// ---- ONNX's operator

Result<std::vector<TensorPtr>> run_onnx_nms(const Scene& s, AttrMap attributes, std::vector<TensorPtr> limits,
                                            const RunOptions& options = {}) {
  std::vector<float> transposed;
  for (int64_t b = 0; b < s.b; ++b)
    for (int64_t k = 0; k < s.c; ++k)
      for (int64_t i = 0; i < s.n; ++i) transposed.push_back(s.score(b, i, k));
  std::vector<TensorPtr> inputs = {s.box_tensor(),
                                   Tensor::of<float>({s.b, s.c, s.n}, std::span<const float>(transposed))};
  inputs.insert(inputs.end(), limits.begin(), limits.end());
  return run_onnx("NonMaxSuppression", std::move(attributes), inputs, options);
}

TEST(OnnxNonMaxSuppression, ConstantAndRuntimeLimits) {
  for (unsigned seed = 0; seed < 120; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    Scene s = random_scene(rng, rng() % 3, rng() % 20, 1, rng() % 4, static_cast<Nasty>(seed % 3));
    RunOptions options;
    options.opset = rng() % 2 ? 10 : 11;
    options.symbolic_shapes = rng() % 2;
    if (rng() % 2) options.runtime = {2, 3, 4};
    const bool centre = rng() % 2, threshold = rng() % 2;
    const int64_t most = std::array<int64_t, 4>{0, 2, 1000, INT64_MAX}[rng() % 4];
    std::vector<TensorPtr> limits = {count_of(most), number(0.5f)};
    if (threshold) limits.push_back(number(0.25f));
    auto r = run_onnx_nms(s, {{"center_point_box", int64_t{centre}}}, limits, options);
    ASSERT_TRUE(r.ok()) << r.status().message();
    EXPECT_THAT(indices_of((*r)[0]), ElementsAreArray(onnx_nms(s, most, 0.5f, threshold ? 0.25f : NAN, centre)));
  }
}

TEST(OnnxNonMaxSuppression, AbsentLimits) {
  std::mt19937 rng(3);
  Scene s = random_scene(rng, 1, 10, 1, 2, Nasty::kSmooth);
  auto none = run_onnx_nms(s, {}, {});
  ASSERT_TRUE(none.ok()) << none.status().message();
  EXPECT_THAT(indices_of((*none)[0]), IsEmpty()) << "without max_output_boxes_per_class nothing is selected";
  auto touching = run_onnx_nms(s, {}, {count_of(5)});
  ASSERT_TRUE(touching.ok()) << touching.status().message();
  EXPECT_THAT(indices_of((*touching)[0]), ElementsAreArray(onnx_nms(s, 5, 0, NAN, false)))
      << "without iou_threshold it is 0";
}

TEST(OnnxNonMaxSuppression, Refusals) {
  std::mt19937 rng(3);
  Scene s = random_scene(rng, 1, 4, 1, 2, Nasty::kSmooth);
  EXPECT_THAT(run_onnx_nms(s, {{"center_point_box", int64_t{2}}}, {count_of(5)}).status().message(),
              HasSubstr("center_point_box"));
  EXPECT_THAT(run_onnx_nms(s, {}, {count_of(5), number(1.5f)}).status().message(),
              HasSubstr("iou_threshold: expected 0 to 1, found 1.5"));
  EXPECT_THAT(run_onnx_nms(s, {}, {Tensor::of<int64_t>({2}, {1, 2})}).status().message(),
              HasSubstr("expected one number"));
}

}  // namespace
}  // namespace fovea::core::test
