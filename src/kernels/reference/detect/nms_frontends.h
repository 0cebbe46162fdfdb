// For tests: each row of the convention table, Nms against the framework's own algorithm written naively, for every way
// to run it. A program includes it once.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/reference/detect/nms_testing.h"
#include "ops/nms.h"
#include "ops/op.h"

namespace fovea::core::test {

template <typename T>
std::vector<T> elements(const TensorPtr& t) {
  auto s = t->as<T>();
  return {s.begin(), s.end()};
}

struct NmsWay {
  std::string name;
  Result<std::vector<TensorPtr>> (*run)(const AttrsPtr&, const std::vector<TensorPtr>& inputs, int outputs,
                                        bool strided);      // strided: inputs have gaps, where it may be so
  std::string (*missing)() = [] { return std::string(); };  // why it cannot run here
};

class NmsFrontends : public testing::TestWithParam<NmsWay> {
 protected:
  void SetUp() override {
    if (const std::string why = GetParam().missing(); !why.empty()) GTEST_SKIP() << why;
  }
  std::vector<TensorPtr> run_nms(const NmsAttrs& attrs, const std::vector<TensorPtr>& inputs, int outputs,
                                 bool strided = false) {
    auto r = GetParam().run(make_attrs(attrs), inputs, outputs, strided);
    EXPECT_TRUE(r.ok()) << r.status().message();
    return r.ok() ? *r
                  : std::vector<TensorPtr>(static_cast<size_t>(outputs),
                                           Tensor::of<float>({0}, std::initializer_list<float>{}));
  }
};

inline std::string name_of(const testing::TestParamInfo<NmsWay>& info) { return info.param.name; }

inline Indices indices_of(const TensorPtr& t) {
  Indices out;
  for (int64_t i = 0; i < t->dims()[0]; ++i) {
    auto v = t->as<int64_t>().subspan(static_cast<size_t>(i) * 3);
    out.push_back({v[0], v[1], v[2]});
  }
  return out;
}

inline bool same_float(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

// Padded outputs of one image against what was expected, and the fill behind.
inline void expect_padded(const std::vector<TensorPtr>& out, int64_t image, const std::vector<Found>& want, bool clip,
                          float fill) {
  const int64_t m = out[1]->dims()[1];
  ASSERT_EQ(out[3]->as<int64_t>()[static_cast<size_t>(image)], static_cast<int64_t>(want.size()));
  for (int64_t i = 0; i < m; ++i) {
    const auto at = static_cast<size_t>(image * m + i);
    const bool real = i < static_cast<int64_t>(want.size());
    const Found f =
        real ? want[static_cast<size_t>(i)]
             : Found{image, static_cast<int64_t>(fill), static_cast<int64_t>(fill), fill, {fill, fill, fill, fill}};
    ASSERT_TRUE(same_float(out[1]->as<float>()[at], f.score)) << "row " << i;
    ASSERT_EQ(out[2]->as<int64_t>()[at], f.label) << "row " << i;
    ASSERT_EQ(out[4]->as<int64_t>()[at], f.box) << "row " << i;
    for (size_t k = 0; k < 4; ++k) {
      const float v = real && clip ? std::clamp(f.corners[k], 0.f, 1.f) : f.corners[k];
      ASSERT_TRUE(same_float(out[0]->as<float>()[at * 4 + k], v)) << "row " << i << " coordinate " << k;
    }
  }
}

// Random scenes of all kinds, small enough for ties and large enough for chains of suppression.
template <typename F>
void for_scenes(const F& f) {
  for (unsigned seed = 0; seed < 150; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    const auto nasty = static_cast<Nasty>(seed % 3);
    constexpr int64_t kSizes[] = {0, 1, 2, 7, 33, 60};
    f(rng, nasty, kSizes[rng() % 6]);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

inline float one_of(std::mt19937& rng, std::initializer_list<float> values) {
  return values.begin()[rng() % values.size()];
}
inline int64_t one_of_ints(std::mt19937& rng, std::initializer_list<int64_t> values) {
  return values.begin()[rng() % values.size()];
}

TEST_P(NmsFrontends, Onnx) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    Scene s = random_scene(rng, rng() % 3, n, 1, rng() % 4, nasty);
    const bool centre = rng() % 2;
    NmsAttrs a;
    a.box_form = centre ? NmsBoxForm::kCentre : NmsBoxForm::kAnyDiagonal;
    a.iou_threshold = one_of(rng, {0, 0.25f, 0.5f, 1.f / 3, 0.75f, 1});
    a.max_per_group = one_of_ints(rng, {0, 1, 3, -1});
    const bool threshold = rng() % 2;
    a.score_threshold = threshold ? one_of(rng, {0, 0.25f, 0.5f, 1}) : -INFINITY;
    a.score_compare = threshold ? NmsCompare::kGreater : NmsCompare::kGreaterEqual;
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 2, rng() % 2);
    Indices want = onnx_nms(s, a.max_per_group < 0 ? s.n : a.max_per_group, static_cast<float>(a.iou_threshold),
                            threshold ? static_cast<float>(a.score_threshold) : NAN, centre);
    ASSERT_THAT(indices_of(out[0]), testing::ElementsAreArray(want));
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_EQ(out[1]->as<float>()[i], s.score(want[i][0], want[i][2], want[i][1]));
  });
}

TEST_P(NmsFrontends, Torchvision) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    Scene s = random_scene(rng, 1, n, 1, 1, nasty);
    std::vector<int64_t> group(static_cast<size_t>(n));
    const bool batched = rng() % 2;
    // Keys are arbitrary numbers, not classes.
    for (int64_t& g : group) g = batched ? static_cast<int64_t>(rng() % 4) * 1'000'000'007 - 5 : 0;
    NmsAttrs a;
    a.group = batched ? NmsGroup::kExplicit : NmsGroup::kNone;
    a.iou_threshold = one_of(rng, {0, 0.25f, 0.5f, 1.f / 3, 0.9f});
    a.output = NmsOutput::kIndicesByScore;
    std::vector<TensorPtr> inputs = {s.box_tensor(), Tensor::of<float>({1, n}, std::span<const float>(s.scores))};
    if (batched) inputs.push_back(Tensor::of<int64_t>({1, n}, std::span<const int64_t>(group)));
    auto out = run_nms(a, inputs, 2);
    ASSERT_THAT(elements<int64_t>(out[0]),
                testing::ElementsAreArray(torch_batched_nms(s, group, static_cast<float>(a.iou_threshold))));
  });
}

TEST_P(NmsFrontends, TensorFlowV5) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    Scene s = random_scene(rng, 1, n, 1, 1, nasty);
    NmsAttrs a;
    a.box_form = NmsBoxForm::kAnyDiagonal;
    a.iou_threshold = one_of(rng, {0.25f, 0.5f, 0.75f});
    a.score_threshold = one_of(rng, {0, 0.3f, -INFINITY});
    a.score_compare = NmsCompare::kGreater;
    // The naive IoU of an infinite box is NaN.
    a.soft_sigma = nasty != Nasty::kSpecial && rng() % 2 ? one_of(rng, {0.1f, 0.5f, 2}) : 0;
    a.max_per_group = one_of_ints(rng, {0, 1, 5, 100});
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 2);
    auto want = tf_nms_v5(s, a.max_per_group, static_cast<float>(a.iou_threshold),
                          static_cast<float>(a.score_threshold), static_cast<float>(a.soft_sigma));
    ASSERT_EQ(out[1]->count(), static_cast<int64_t>(want.size()));
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(indices_of(out[0])[i][2], want[i].first);
      // At most one multiplication and one exp for each box kept before.
      ASSERT_NEAR(out[1]->as<float>()[i], want[i].second, 4e-7f * static_cast<float>(want.size()));
    }
  });
}

TEST_P(NmsFrontends, TensorFlowV4Padded) {
  std::mt19937 rng(1);
  Scene s = random_scene(rng, 1, 40, 1, 1, Nasty::kSmooth);
  NmsAttrs a;
  a.box_form = NmsBoxForm::kAnyDiagonal;
  a.iou_threshold = 0.3, a.score_threshold = 0.4, a.score_compare = NmsCompare::kGreater;
  a.max_per_group = a.max_total = 50;
  a.output = NmsOutput::kPadded;
  auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
  auto want = tf_nms_v5(s, 50, 0.3f, 0.4f, 0);
  ASSERT_EQ(out[4]->dims(), (Dims{1, 50}));
  ASSERT_EQ(out[3]->as<int64_t>()[0], static_cast<int64_t>(want.size()));
  for (size_t i = 0; i < 50; ++i) EXPECT_EQ(out[4]->as<int64_t>()[i], i < want.size() ? want[i].first : 0);
}

TEST_P(NmsFrontends, TensorFlowCombined) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    const int64_t c = 1 + rng() % 4;
    Scene s = random_scene(rng, 1 + rng() % 2, n, rng() % 2 ? c : 1, c, nasty);
    NmsAttrs a;
    a.box_form = NmsBoxForm::kAnyDiagonal;
    a.iou_threshold = 0.5, a.score_threshold = 0.25, a.score_compare = NmsCompare::kGreater;
    a.max_per_group = one_of_ints(rng, {1, 4, 100}), a.max_total = one_of_ints(rng, {1, 10, 300});
    a.output = NmsOutput::kPadded, a.clip = rng() % 2;
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5, rng() % 2);
    for (int64_t b = 0; b < s.b; ++b)
      expect_padded(out, b,
                    per_class_nms(
                        s, b, -1, -1, a.max_per_group, a.max_total, [](float v) { return v > 0.25f; },
                        [](const float* x, const float* y) { return onnx_iou(x, y, false) > 0.5f; }),
                    a.clip, 0);
  });
}

TEST_P(NmsFrontends, TfliteRegular) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    Scene s = random_scene(rng, 1, n, 1, 1 + rng() % 4, nasty);
    NmsAttrs a;
    a.box_form = NmsBoxForm::kYxyx;
    a.iou_threshold = 0.5, a.score_threshold = 0.25;
    a.background = 0, a.class_offset = -1;
    a.max_per_group = one_of_ints(rng, {1, 4, 100}), a.max_total = one_of_ints(rng, {1, 10, 300});
    a.output = NmsOutput::kPadded;
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    auto want = per_class_nms(
        s, 0, 0, -1, a.max_per_group, a.max_total, [](float v) { return v >= 0.25f; },
        [](const float* x, const float* y) { return torch_iou(x, y) > 0.5f; });
    for (Found& f : want) f.label -= 1;
    expect_padded(out, 0, want, false, 0);
  });
}

TEST_P(NmsFrontends, TfliteFast) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    if (nasty == Nasty::kSpecial) nasty = Nasty::kGrid;  // TFLite sorts NaN as it comes
    Scene s = random_scene(rng, 1, n, 1, 2 + rng() % 4, nasty);
    NmsAttrs a;
    a.box_form = NmsBoxForm::kAnyDiagonal;
    a.candidates = NmsCandidates::kArgmax, a.group = NmsGroup::kNone;
    a.iou_threshold = 0.5, a.score_threshold = 0.25;
    a.background = 0, a.class_offset = -1;
    a.max_total = one_of_ints(rng, {1, 10, 100});
    a.classes_per_box = 1 + static_cast<int64_t>(rng() % 4);
    a.output = NmsOutput::kPadded;
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    ASSERT_EQ(out[1]->dims()[1], a.max_total * std::min(a.classes_per_box, s.c - 1));
    expect_padded(out, 0, tflite_fast(s, 0, 0.25f, 0.5f, a.max_total, a.classes_per_box), false, 0);
  });
}

TEST_P(NmsFrontends, MxnetMultiBox) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    Scene s = random_scene(rng, 1 + rng() % 2, n, 1, 1 + rng() % 5, nasty);
    NmsAttrs a;
    a.candidates = NmsCandidates::kArgmax;
    a.group = rng() % 2 ? NmsGroup::kClass : NmsGroup::kNone;
    a.score_threshold = one_of(rng, {0.01f, 0.5f}), a.iou_threshold = one_of(rng, {0.25f, 0.5f, 1});
    a.iou_compare = NmsCompare::kGreaterEqual;
    a.background = 0, a.class_offset = -1;
    a.pre_top_k = one_of_ints(rng, {-1, 1, 5}), a.pre_top_k_of = NmsScope::kImage;
    a.output = NmsOutput::kPadded, a.fill = NmsFill::kMinusOne;
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    for (int64_t b = 0; b < s.b; ++b)
      expect_padded(out, b,
                    mxnet_multibox(s, b, static_cast<float>(a.score_threshold), static_cast<float>(a.iou_threshold),
                                   a.group == NmsGroup::kNone, a.pre_top_k),
                    false, -1);
  });
}

TEST_P(NmsFrontends, TensorRtBatched) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    const int64_t c = 1 + rng() % 4;
    Scene s = random_scene(rng, 1 + rng() % 2, n, rng() % 2 ? c : 1, c, nasty);
    for (float& v : s.boxes) v *= 4;                    // pixels
    for (size_t i = 0; i + 3 < s.boxes.size(); i += 4)  // a side of -0.8 and 1 more is a case of its own
      for (size_t k : {i, i + 1})
        if (s.boxes[k] > s.boxes[k + 2]) std::swap(s.boxes[k], s.boxes[k + 2]);
    const bool normalised = rng() % 2;
    NmsAttrs a;
    a.iou_threshold = 0.5, a.iou_offset = normalised ? 0 : 1;
    a.score_threshold = 0.25, a.score_compare = NmsCompare::kGreater;
    a.background = one_of_ints(rng, {-1, 0, c - 1, c});
    a.pre_top_k = one_of_ints(rng, {-1, 3, 20}), a.max_total = one_of_ints(rng, {1, 10, 100});
    a.output = NmsOutput::kPadded, a.clip = rng() % 2;
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    const float offset = normalised ? 0 : 1;
    for (int64_t b = 0; b < s.b; ++b)
      expect_padded(out, b,
                    per_class_nms(
                        s, b, a.background, a.pre_top_k, s.n, a.max_total, [](float v) { return v > 0.25f; },
                        [&](const float* x, const float* y) { return torch_iou(x, y, offset) > 0.5f; }),
                    a.clip, 0);
  });
}

TEST_P(NmsFrontends, TensorRtEfficient) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    const int64_t c = 1 + rng() % 4;
    Scene s = random_scene(rng, 1 + rng() % 2, n, rng() % 2 ? c : 1, c, nasty);
    NmsAttrs a;
    a.group = rng() % 2 ? NmsGroup::kNone : NmsGroup::kClass;
    a.iou_threshold = 0.5, a.iou_compare = NmsCompare::kGreaterEqual;
    a.score_threshold = 0.25, a.score_compare = NmsCompare::kGreater;
    a.pre_top_k = one_of_ints(rng, {5, 4096}), a.pre_top_k_of = NmsScope::kImage;
    a.max_total = one_of_ints(rng, {1, 10, 100});
    a.output = NmsOutput::kPadded;
    auto out = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    for (int64_t b = 0; b < s.b; ++b) {
      auto want = efficient_nms(s, b, 0.25f, 0.5f, a.pre_top_k, s.n * c, a.group == NmsGroup::kNone);
      expect_padded(out, b, best_of(want, a.max_total), false, 0);
    }
  });
}

TEST_P(NmsFrontends, DetectionsAreThePaddedRowsWithoutGaps) {
  for_scenes([this](std::mt19937& rng, Nasty nasty, int64_t n) {
    Scene s = random_scene(rng, rng() % 4, n, 1, 1 + rng() % 4, nasty);
    NmsAttrs a;
    a.candidates = static_cast<NmsCandidates>(rng() % 3), a.top_m = 2;
    a.score_threshold = 0.25, a.iou_threshold = 0.4, a.max_total = 12;
    a.output = NmsOutput::kPadded;
    auto padded = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    a.output = NmsOutput::kDetections;
    auto dense = run_nms(a, {s.box_tensor(), s.score_tensor()}, 5);
    size_t row = 0;
    for (int64_t b = 0; b < s.b; ++b)
      for (int64_t i = 0; i < padded[3]->as<int64_t>()[static_cast<size_t>(b)]; ++i, ++row) {
        const auto at = static_cast<size_t>(b * 12 + i);
        ASSERT_EQ(dense[1]->as<float>()[row], padded[1]->as<float>()[at]);
        ASSERT_EQ(dense[2]->as<int64_t>()[row], padded[2]->as<int64_t>()[at]);
        ASSERT_EQ(dense[3]->as<int64_t>()[row], b);
        ASSERT_EQ(dense[4]->as<int64_t>()[row], padded[4]->as<int64_t>()[at]);
        for (size_t k = 0; k < 4; ++k)
          ASSERT_TRUE(same_float(dense[0]->as<float>()[4 * row + k], padded[0]->as<float>()[4 * at + k]));
      }
    ASSERT_EQ(dense[1]->count(), static_cast<int64_t>(row));
  });
}

}  // namespace fovea::core::test
