#include "ops/norm.h"

#include <cmath>
#include <limits>

#include "kernels/reference/close.h"

namespace fovea::core::test {
namespace {

const std::pair<std::string, AttrValue> kLastAxis = {"axis", int64_t{-1}};

TEST(ReferenceSoftmax, AlongAnyAxis) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    Dims dims;
    for (unsigned i = 0, rank = 1 + rng() % 4; i < rank; ++i) dims.push_back(1 + static_cast<int64_t>(rng() % 5));
    const auto axis = static_cast<int64_t>(rng() % dims.size());
    const TensorPtr x = random_tensor(rng, DType::kFloat32, dims);
    const auto v = x->to_doubles();
    const auto size = static_cast<size_t>(dims[static_cast<size_t>(axis)]);
    size_t inner = 1;
    for (size_t d = static_cast<size_t>(axis) + 1; d < dims.size(); ++d) inner *= static_cast<size_t>(dims[d]);
    std::vector<double> soft(v.size()), logs(v.size());
    for (size_t i = 0; i < v.size(); ++i) {
      const size_t start = i / (inner * size) * inner * size + i % inner;
      double sum = 0;
      for (size_t k = 0; k < size; ++k) sum += std::exp(v[start + k * inner]);
      soft[i] = std::exp(v[i]) / sum, logs[i] = v[i] - std::log(sum);
    }
    for (RunOptions options : layouts()) {
      expect_close(only(run_onnx("Softmax", {{"axis", axis}}, {x}, options)), soft, 8 * kFloatStep);
      expect_close(only(run_onnx("LogSoftmax", {{"axis", axis - static_cast<int64_t>(dims.size())}}, {x}, options)),
                   logs, 8 * kFloatStep);
    }
  }
}

TEST(ReferenceSoftmax, BeforeOpset13TheAxisAndAllAfterItAreOne) {
  RunOptions old;
  old.opset = 11;
  const TensorPtr x = floats({2, 2, 2}, {0, 0, 0, 0, 0, std::log(2.f), 0, 0});
  for (bool symbolic : {false, true}) {
    old.symbolic_shapes = symbolic;
    TensorPtr y = only(run_onnx("Softmax", {}, {x}, old));
    ASSERT_TRUE(y);
    EXPECT_EQ(y->dims(), x->dims());
    expect_close(y, {0.25, 0.25, 0.25, 0.25, 0.2, 0.4, 0.2, 0.2});
    expect_close(only(run_onnx("Softmax", {kLastAxis}, {x}, old)), {0.5, 0.5, 0.5, 0.5, 1.0 / 3, 2.0 / 3, 0.5, 0.5});
  }
  old.symbolic_shapes = false;
  expect_close(only(run_onnx("Softmax", {{"axis", int64_t{0}}}, {x}, old)),
               {1 / 9., 1 / 9., 1 / 9., 1 / 9., 1 / 9., 2 / 9., 1 / 9., 1 / 9.});
  expect_close(only(run_onnx("Softmax", {{"axis", int64_t{2}}}, {x}, old)),
               {0.5, 0.5, 0.5, 0.5, 1.0 / 3, 2.0 / 3, 0.5, 0.5});
}

TEST(ReferenceSoftmax, LargeInfiniteAndEmpty) {
  const float inf = std::numeric_limits<float>::infinity();
  expect_close(only(run_onnx("Softmax", {}, {floats({2, 2}, {1000, 1000, -inf, 0})})), {0.5, 0.5, 0, 1});
  expect_close(only(run_onnx("LogSoftmax", {}, {floats({1, 2}, {-inf, 0})})), {-inf, 0});
  TensorPtr empty = only(run_onnx("Softmax", {}, {floats({2, 0}, {})}));
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->count(), 0);
  EXPECT_FALSE(run_onnx("Softmax", {}, {integers({1}, {1})}).ok());
}

struct Statistics {
  double mean, deviation;
};
Statistics statistics(const double* v, size_t count, double epsilon) {
  double mean = 0, variance = 0;
  for (size_t i = 0; i < count; ++i) mean += v[i] / static_cast<double>(count);
  for (size_t i = 0; i < count; ++i) variance += (v[i] - mean) * (v[i] - mean) / static_cast<double>(count);
  return {mean, std::sqrt(variance + epsilon)};
}

TEST(ReferenceNorm, OverChannelsAndGroups) {
  constexpr double kEpsilon = 1e-3;
  const AttrMap attrs = {{"epsilon", kEpsilon}};
  for (unsigned seed = 0; seed < 10; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    const size_t images = rng() % 3, plane = 1 + rng() % 7, groups = 1 + rng() % 3, together = 1 + rng() % 3,
                 channels = groups * together;
    const auto c = static_cast<int64_t>(channels);
    const TensorPtr x =
        random_tensor(rng, DType::kFloat32, {static_cast<int64_t>(images), c, static_cast<int64_t>(plane)});
    const TensorPtr scale = random_tensor(rng, DType::kFloat32, {c}), bias = random_tensor(rng, DType::kFloat32, {c}),
                    mean = random_tensor(rng, DType::kFloat32, {c});
    const TensorPtr variance = only(run_onnx("Abs", {}, {random_tensor(rng, DType::kFloat32, {c})}));
    const auto v = x->to_doubles(), s = scale->to_doubles(), b = bias->to_doubles(), m = mean->to_doubles(),
               var = variance->to_doubles();
    std::vector<double> batch, instance, group;
    for (size_t i = 0; i < v.size(); ++i) {
      const size_t channel = i / plane % channels, of_group = together * plane;
      batch.push_back((v[i] - m[channel]) / std::sqrt(var[channel] + kEpsilon) * s[channel] + b[channel]);
      const Statistics own = statistics(&v[i / plane * plane], plane, kEpsilon),
                       shared = statistics(&v[i / of_group * of_group], of_group, kEpsilon);
      instance.push_back((v[i] - own.mean) / own.deviation * s[channel] + b[channel]);
      group.push_back((v[i] - shared.mean) / shared.deviation * s[channel] + b[channel]);
    }
    for (RunOptions options : layouts()) {
      expect_close(only(run_onnx("BatchNormalization", attrs, {x, scale, bias, mean, variance}, options)), batch);
      expect_close(only(run_onnx("InstanceNormalization", attrs, {x, scale, bias}, options)), instance);
      expect_close(
          only(run_onnx("GroupNormalization", {{"epsilon", kEpsilon}, {"num_groups", static_cast<int64_t>(groups)}},
                        {x, scale, bias}, options)),
          group);
    }
  }
}

TEST(ReferenceNorm, GroupsBeforeOpset21HaveOneScaleEach) {
  RunOptions old;
  old.opset = 18;
  const TensorPtr x = floats({1, 4, 1}, {1, 3, 5, 9});
  expect_close(only(run_onnx("GroupNormalization", {{"num_groups", int64_t{2}}, {"epsilon", 0.0}},
                             {x, floats({2}, {2, 3}), floats({2}, {10, 20})}, old)),
               {8, 12, 17, 23});
  EXPECT_FALSE(run_onnx("GroupNormalization", {{"num_groups", int64_t{3}}},
                        {x, floats({3}, {1, 1, 1}), floats({3}, {0, 0, 0})}, old)
                   .ok());
}

TEST(ReferenceNorm, LayerNormalizationAndItsStatistics) {
  RunOptions three;
  three.outputs = 3;
  std::mt19937 rng(3);
  const TensorPtr x = random_tensor(rng, DType::kFloat32, {2, 3, 4}),
                  scale = random_tensor(rng, DType::kFloat32, {3, 4}), bias = random_tensor(rng, DType::kFloat32, {4});
  const auto v = x->to_doubles(), s = scale->to_doubles(), b = bias->to_doubles();
  std::vector<double> want, means, deviations;
  for (size_t i = 0; i < v.size(); ++i) {
    const Statistics st = statistics(&v[i / 12 * 12], 12, 1e-5f);
    want.push_back((v[i] - st.mean) / st.deviation * s[i % 12] + b[i % 4]);
    if (i % 12 == 0) means.push_back(st.mean), deviations.push_back(1 / st.deviation);
  }
  for (RunOptions layout : layouts()) {
    layout.outputs = 3;
    auto r = run_onnx("LayerNormalization", {{"axis", int64_t{-2}}}, {x, scale, bias}, layout);
    ASSERT_TRUE(r.ok()) << r.status().message();
    expect_close((*r)[0], want);
    expect_close((*r)[1], means);
    expect_close((*r)[2], deviations);
    EXPECT_EQ((*r)[1]->dims(), (Dims{2, 1, 1}));
  }
  EXPECT_FALSE(run_onnx("LayerNormalization", {}, {x, floats({5}, {1, 1, 1, 1, 1})}).ok());
}

TEST(ReferenceNorm, TrainingIsRefused) {
  const TensorPtr x = floats({1, 1, 1}, {1}), one = floats({1}, {1});
  auto r = run_onnx("BatchNormalization", {{"training_mode", int64_t{1}}}, {x, one, one, one, one});
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().kind(), ErrorKind::kUnsupported);
  EXPECT_NE(r.status().message().find("training_mode"), std::string::npos);
  EXPECT_FALSE(run_onnx("BatchNormalization", {}, {x, one, one, one, floats({2}, {1, 1})}).ok());
}

TEST(ReferenceNorm, LpNormalization) {
  const TensorPtr x = floats({2, 2}, {3, 4, 0, 0});
  expect_close(only(run_onnx("LpNormalization", {}, {x})), {0.6, 0.8, 0, 0});
  expect_close(only(run_onnx("LpNormalization", {{"p", int64_t{1}}}, {x})), {3. / 7, 4. / 7, 0, 0});
  for (RunOptions options : layouts())
    expect_close(only(run_onnx("LpNormalization", {{"axis", int64_t{0}}}, {floats({2, 2}, {3, 1, -4, 0})}, options)),
                 {0.6, 1, -0.8, 0});
  EXPECT_FALSE(run_onnx("LpNormalization", {{"p", int64_t{3}}}, {x}).ok());
}

TEST(ReferenceNorm, Lrn) {
  const TensorPtr x = floats({1, 4, 1, 1}, {1, 2, 3, 4});
  auto want = [](int size) {
    std::vector<double> y;
    for (int c = 0; c < 4; ++c) {
      double sum = 0;
      for (int k = std::max(0, c - (size - 1) / 2); k <= std::min(3, c + size / 2); ++k) sum += (k + 1) * (k + 1);
      y.push_back((c + 1) / std::pow(1.5 + 0.3 / size * sum, 0.5));
    }
    return y;
  };
  for (int64_t size : {1, 2, 3, 5})
    for (RunOptions options : layouts())
      expect_close(only(run_onnx("LRN", {{"size", size}, {"alpha", 0.3}, {"beta", 0.5}, {"bias", 1.5}}, {x}, options)),
                   want(static_cast<int>(size)));
}

}  // namespace
}  // namespace fovea::core::test
