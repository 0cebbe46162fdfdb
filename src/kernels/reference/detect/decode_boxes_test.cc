#include "ops/decode_boxes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/reference/testing.h"

namespace fovea::core::test {
namespace {

using ::testing::HasSubstr;

struct Box {
  double x0, y0, x1, y1;
};

// SSD's equation in float64, deltas and variances in the order x, y, w, h, the anchor by its centre.
Box naive(std::array<double, 4> delta, std::array<double, 4> variances, std::array<double, 4> anchor,
          double max_log_size) {
  const double x = delta[0] * variances[0] * anchor[2] + anchor[0], y = delta[1] * variances[1] * anchor[3] + anchor[1];
  const auto size = [&](double t) { return std::exp(max_log_size > 0 ? std::min(t, max_log_size) : t); };
  const double w = size(delta[2] * variances[2]) * anchor[2], h = size(delta[3] * variances[3]) * anchor[3];
  return {x - w / 2, y - h / 2, x + w / 2, y + h / 2};
}

struct Case {
  int64_t b, n, c;
  std::vector<float> deltas, anchors;
};

Case random_case(std::mt19937& rng, bool own_anchors) {
  Case k{static_cast<int64_t>(rng() % 3), static_cast<int64_t>(rng() % 9), 1 + static_cast<int64_t>(rng() % 3), {}, {}};
  std::normal_distribution<float> normal(0, 2);
  std::uniform_real_distribution<float> unit(0.05f, 1);
  for (int64_t i = 0; i < k.b * k.n * k.c * 4; ++i) k.deltas.push_back(normal(rng));
  for (int64_t i = 0; i < (own_anchors ? k.b : 1) * k.n * 4; ++i) k.anchors.push_back(unit(rng));
  return k;
}

// Every form of the attributes against the equation; 8 roundings of numbers below the largest coordinate.
TEST(DecodeBoxes, EveryForm) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    const bool own = rng() % 2, by_class = rng() % 2;
    Case k = random_case(rng, own);
    if (!by_class) k.deltas.resize(static_cast<size_t>(k.b * k.n * 4)), k.c = 1;
    DecodeBoxesAttrs a;
    a.deltas = static_cast<DeltaOrder>(rng() % 2);
    a.anchors = static_cast<AnchorForm>(rng() % 3);
    a.output = static_cast<CornerOrder>(rng() % 2);
    if (rng() % 2) a.variances = {0.1, 0.2, 0.3, 0.4};
    else a.scales = {10, 9, 8, 7};
    a.max_log_size = rng() % 2 ? 0.4 : 0;
    a.clip = rng() % 2;
    a.clip_width = 1.5;
    const bool yx = a.deltas == DeltaOrder::kYxhw;

    auto deltas = by_class ? Tensor::of<float>({k.b, k.n, k.c, 4}, std::span<const float>(k.deltas))
                           : Tensor::of<float>({k.b, k.n, 4}, std::span<const float>(k.deltas));
    auto anchors = own ? Tensor::of<float>({k.b, k.n, 4}, std::span<const float>(k.anchors))
                       : Tensor::of<float>({k.n, 4}, std::span<const float>(k.anchors));
    RunOptions options;
    options.strided = rng() % 2, options.symbolic_shapes = rng() % 2;
    auto r = run_op("DecodeBoxes", make_attrs(a), {deltas, anchors}, options);
    ASSERT_TRUE(r.ok()) << r.status().message();
    auto out = (*r)[0]->as<float>();
    for (int64_t i = 0; i < k.b * k.n * k.c; ++i) {
      const float* d = &k.deltas[static_cast<size_t>(i) * 4];
      const float* p = &k.anchors[static_cast<size_t>(own ? i / k.c : i / k.c % k.n) * 4];
      std::array<double, 4> delta, factor, anchor;
      for (size_t e = 0; e < 4; ++e) {
        const size_t from = yx ? std::array<size_t, 4>{1, 0, 3, 2}[e] : e;
        delta[e] = d[from];
        factor[e] = a.scales.empty() ? a.variances[from] : 1 / a.scales[from];
      }
      if (a.anchors == AnchorForm::kXyxy)
        anchor = {(p[0] + p[2]) / 2.0, (p[1] + p[3]) / 2.0, double(p[2]) - p[0], double(p[3]) - p[1]};
      else if (a.anchors == AnchorForm::kYxCentre) anchor = {p[1], p[0], p[3], p[2]};
      else anchor = {p[0], p[1], p[2], p[3]};
      Box want = naive(delta, factor, anchor, a.max_log_size);
      const double largest =
          std::max({std::abs(want.x0), std::abs(want.y0), std::abs(want.x1), std::abs(want.y1), 1.0});
      if (a.clip)
        want = {std::clamp(want.x0, 0.0, 1.5), std::clamp(want.y0, 0.0, 1.0), std::clamp(want.x1, 0.0, 1.5),
                std::clamp(want.y1, 0.0, 1.0)};
      if (a.output == CornerOrder::kYxyx) want = {want.y0, want.x0, want.y1, want.x1};
      const double tolerance = 8 * 6e-8 * largest * 4;  // exp of a t up to 4 magnifies its rounding
      const auto at = static_cast<size_t>(i) * 4;
      ASSERT_NEAR(out[at], want.x0, tolerance);
      ASSERT_NEAR(out[at + 1], want.y0, tolerance);
      ASSERT_NEAR(out[at + 2], want.x1, tolerance);
      ASSERT_NEAR(out[at + 3], want.y1, tolerance);
    }
  }
}

TEST(DecodeBoxes, SizesFromAnInput) {
  DecodeBoxesAttrs a;
  a.anchors = AnchorForm::kXyxy, a.clip = true;
  auto deltas = Tensor::of<float>({2, 1, 4}, {0, 0, 0, 0, 0, 0, 0, 0}),
       anchors = Tensor::of<float>({1, 4}, {-5, -5, 500, 500});
  auto each =
      run_op("DecodeBoxes", make_attrs(a), {deltas, anchors, Tensor::of<int64_t>({2, 2}, {100, 200, 300, 400})});
  ASSERT_TRUE(each.ok()) << each.status().message();
  EXPECT_THAT((*each)[0]->as<float>(), ::testing::ElementsAre(0, 0, 200, 100, 0, 0, 400, 300));
  auto one = run_op("DecodeBoxes", make_attrs(a), {deltas, anchors, Tensor::of<float>({2}, {100, 200})});
  ASSERT_TRUE(one.ok()) << one.status().message();
  EXPECT_THAT((*one)[0]->as<float>(), ::testing::ElementsAre(0, 0, 200, 100, 0, 0, 200, 100));
}

TEST(DecodeBoxes, NanStaysAndInfinityIsClipped) {
  DecodeBoxesAttrs a;
  a.clip = true;
  const float nan = NAN, inf = INFINITY;
  auto r = run_op("DecodeBoxes", make_attrs(a),
                  {Tensor::of<float>({1, 2, 4}, {nan, 0, 0, 0, 0, 0, inf, 0}),
                   Tensor::of<float>({2, 4}, {.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f})});
  ASSERT_TRUE(r.ok()) << r.status().message();
  auto out = (*r)[0]->as<float>();
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_FLOAT_EQ(out[1], 0.25f);
  EXPECT_EQ(out[4], 0);
  EXPECT_EQ(out[6], 1);
}

TEST(DecodeBoxes, HalfIsComputedInFloat) {
  std::vector<Half> deltas = {Half(1.f), Half(-2.f), Half(0.5f), Half(0.25f)};
  auto r = run_op(
      "DecodeBoxes", make_attrs(DecodeBoxesAttrs{}),
      {Tensor::of<Half>({1, 1, 4}, std::span<const Half>(deltas)), Tensor::of<float>({1, 4}, {.5f, .5f, .1f, .3f})});
  ASSERT_TRUE(r.ok()) << r.status().message();
  ASSERT_EQ((*r)[0]->dtype(), DType::kFloat16);
  const float w = std::exp(0.5f) * 0.1f;
  EXPECT_EQ((*r)[0]->as<Half>()[0].bits, Half(0.6f - w / 2).bits);
}

TEST(DecodeBoxes, Refusals) {
  auto deltas = Tensor::of<float>({1, 2, 4}, {0, 0, 0, 0, 0, 0, 0, 0});
  const auto message = [&](const DecodeBoxesAttrs& a, TensorPtr anchors) {
    auto r = run_op("DecodeBoxes", make_attrs(a), {deltas, std::move(anchors)});
    return r.ok() ? std::string("ok") : r.status().message();
  };
  EXPECT_THAT(message({}, Tensor::of<float>({1, 4}, {0, 0, 0, 0})),
              HasSubstr("deltas [1,2,4] and anchors [1,4] do not belong together"));
  EXPECT_THAT(message({}, Tensor::of<float>({2, 2}, {0, 0, 0, 0})), HasSubstr("4 numbers a box"));
  DecodeBoxesAttrs a;
  a.scales = {1, 1, 0, 1};
  EXPECT_THAT(message(a, Tensor::of<float>({2, 4}, {0, 0, 0, 0, 0, 0, 0, 0})),
              HasSubstr("scales: expected four numbers other than 0"));
}

}  // namespace
}  // namespace fovea::core::test
