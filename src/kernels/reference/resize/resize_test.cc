#include "ops/resize.h"

#include <cmath>
#include <numeric>

#include "kernels/reference/close.h"

namespace fovea::core::test {
namespace {

using Ints = std::vector<int64_t>;

std::vector<float> count_to(int n) {
  std::vector<float> v(static_cast<size_t>(n));
  std::iota(v.begin(), v.end(), 1.f);
  return v;
}
TensorPtr sizes(const Ints& v) { return integers({static_cast<int64_t>(v.size())}, v); }
TensorPtr numbers(const std::vector<float>& v) { return floats({static_cast<int64_t>(v.size())}, v); }
std::pair<std::string, AttrValue> text(const char* name, const char* value) { return {name, std::string(value)}; }
const std::pair<std::string, AttrValue> kLinear = text("mode", "linear"), kCubic = text("mode", "cubic");

const TensorPtr& small() {
  static const TensorPtr x = floats({1, 1, 2, 2}, {1, 2, 3, 4});
  return x;
}
const TensorPtr& square() {
  static const TensorPtr x = floats({1, 1, 4, 4}, count_to(16));
  return x;
}

// Every way of giving the same numbers: as constants, with symbolic shapes, without inference seeing them.
std::vector<RunOptions> ways() {
  RunOptions plain, symbolic, unseen;
  symbolic.strided = true, symbolic.symbolic_shapes = true, symbolic.constants = {1, 2, 3}, symbolic.threads = 3;
  unseen.runtime = {2, 3};
  return {plain, symbolic, unseen};
}

void expect_scaled(const AttrMap& attrs, const TensorPtr& x, const std::vector<float>& scales,
                   const std::vector<double>& want, double tolerance = 4 * kFloatStep) {
  for (const RunOptions& way : ways())
    expect_close(only(run_onnx("Resize", attrs, {x, nullptr, numbers(scales)}, way)), want, tolerance);
}
void expect_sized(const AttrMap& attrs, const TensorPtr& x, const Ints& to, const std::vector<double>& want,
                  const TensorPtr& roi = nullptr) {
  for (const RunOptions& way : ways())
    expect_close(only(run_onnx("Resize", attrs, {x, roi, nullptr, sizes(to)}, way)), want, 1e-6);
}

// The examples of ONNX's specification.
TEST(ReferenceResize, SpecificationNearest) {
  expect_scaled({}, small(), {1, 1, 2, 3}, {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 3, 3, 3, 4, 4, 4});
  expect_sized(
      {text("nearest_mode", "ceil")}, square(), {1, 1, 4, 8},
      {1, 2, 2, 3, 3, 4, 4, 4, 5, 6, 6, 7, 7, 8, 8, 8, 9, 10, 10, 11, 11, 12, 12, 12, 13, 14, 14, 15, 15, 16, 16, 16});
  expect_scaled({text("coordinate_transformation_mode", "asymmetric"), text("nearest_mode", "floor")}, square(),
                {1, 1, 0.5f, 0.5f}, {1, 3, 9, 11});
}

TEST(ReferenceResize, SpecificationLinear) {
  expect_scaled({kLinear}, small(), {1, 1, 2, 2},
                {1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4});
  const double t = 1.0 / 3;
  expect_scaled(
      {kLinear, text("coordinate_transformation_mode", "align_corners")}, small(), {1, 1, 2, 2},
      {1, 1 + t, 1 + 2 * t, 2, 1 + 2 * t, 2, 2 + t, 2 + 2 * t, 2 + t, 2 + 2 * t, 3, 3 + t, 3, 3 + t, 3 + 2 * t, 4});
  expect_scaled({kLinear, text("coordinate_transformation_mode", "half_pixel_symmetric")}, square(), {1, 1, 0.6f, 1},
                {11 / 3., 14 / 3., 17 / 3., 20 / 3., 31 / 3., 34 / 3., 37 / 3., 40 / 3.});
  expect_sized({kLinear, text("coordinate_transformation_mode", "pytorch_half_pixel")}, square(), {1, 1, 3, 1},
               {5 / 3., 7, 37 / 3.});
}

TEST(ReferenceResize, SpecificationCubic) {
  expect_scaled({kCubic}, square(), {1, 1, 1.5f, 1},
                {0.6527778, 1.6527778, 2.6527778, 3.6527778, 2.625,      3.625,      4.625,      5.625,
                 5.8518519, 6.8518519, 7.8518519, 8.8518519, 8.1481481,  9.1481481,  10.1481481, 11.1481481,
                 11.375,    12.375,    13.375,    14.375,    13.3472222, 14.3472222, 15.3472222, 16.3472222},
                2e-6);
  expect_scaled(
      {kCubic, {"exclude_outside", int64_t{1}}, {"cubic_coeff_a", -0.5}}, square(), {1, 1, 0.8f, 1},
      {1.2945014, 2.2945014, 3.2945014, 4.2945014, 6.5, 7.5, 8.5, 9.5, 11.875341, 12.875341, 13.875341, 14.875341},
      2e-6);
  expect_sized({kCubic, text("coordinate_transformation_mode", "pytorch_half_pixel")}, square(), {1, 1, 3, 1},
               {1.5046296, 7, 12.495370});
}

TEST(ReferenceResize, SpecificationAntialias) {
  expect_scaled({kLinear, {"antialias", int64_t{1}}}, square(), {1, 1, 0.6f, 1}, {2.5, 3.5, 4.5, 5.5, 9, 10, 11, 12},
                1e-6);
  expect_scaled({kCubic, {"antialias", int64_t{1}}}, square(), {1, 1, 0.6f, 1},
                {2.2144559, 3.2144559, 4.2144559, 5.2144559, 9.2857143, 10.2857143, 11.2857143, 12.2857143}, 2e-6);
}

TEST(ReferenceResize, SpecificationCrop) {
  const AttrMap attrs = {
      kLinear, text("coordinate_transformation_mode", "tf_crop_and_resize"), {"extrapolation_value", 10.0}};
  expect_sized(attrs, square(), {1, 1, 3, 3}, {7.6, 7.9, 8.2, 8.8, 9.1, 9.4, 10, 10.3, 10.6},
               numbers({0, 0, 0.4f, 0.6f, 1, 1, 0.6f, 0.8f}));
  expect_sized(attrs, square(), {1, 1, 3, 3}, {7.6, 10, 10, 12.4, 10, 10, 10, 10, 10},
               numbers({0, 0, 0.4f, 0.6f, 1, 1, 1.2f, 1.7f}));
  EXPECT_FALSE(run_onnx("Resize", attrs, {square(), nullptr, nullptr, sizes({1, 1, 3, 3})}).ok());
}

TEST(ReferenceResize, AxesAndAspectRatio) {
  expect_sized({{"axes", Ints{3, -2}}}, small(), {4, 2}, {1, 1, 2, 2, 3, 3, 4, 4});
  const TensorPtr wide = floats({1, 1, 2, 4}, count_to(8));
  auto dims_with = [&](const char* policy, const RunOptions& way) {
    TensorPtr y = only(run_onnx("Resize", {{"axes", Ints{2, 3}}, text("keep_aspect_ratio_policy", policy)},
                                {wide, nullptr, nullptr, sizes({7, 8})}, way));
    return y ? y->dims() : Dims{};
  };
  for (const RunOptions& way : ways()) {
    EXPECT_EQ(dims_with("stretch", way), (Dims{1, 1, 7, 8}));
    EXPECT_EQ(dims_with("not_larger", way), (Dims{1, 1, 4, 8}));
    EXPECT_EQ(dims_with("not_smaller", way), (Dims{1, 1, 7, 14}));
  }
}

TEST(ReferenceResize, OldOpsets) {
  const TensorPtr empty = floats({0}, {});
  RunOptions v11, v10, v9;
  v11.opset = 11, v10.opset = 10, v9.opset = 9;
  const std::vector<double> twice = {1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4};
  expect_close(only(run_onnx("Resize", {}, {small(), empty, numbers({1, 1, 2, 2})}, v11)), twice);
  expect_close(only(run_onnx("Resize", {}, {small(), empty, empty, sizes({1, 1, 4, 4})}, v11)), twice);
  expect_close(only(run_onnx("Resize", {}, {small(), numbers({1, 1, 2, 2})}, v10)), twice);
  expect_close(only(run_onnx("Upsample", {}, {small(), numbers({1, 1, 2, 2})}, v9)), twice);
  v9.opset = 7;
  expect_close(only(run_onnx("Upsample", {{"scales", std::vector<double>{1, 1, 2, 2}}, kLinear}, {small()}, v9)),
               {1, 1.5, 2, 2, 2, 2.5, 3, 3, 3, 3.5, 4, 4, 3, 3.5, 4, 4});
}

TEST(ReferenceResize, OtherTypes) {
  const uint8_t bytes[] = {0, 255};
  // 0, 63.75, 191.25, 255 rounded to the nearest
  expect_close(only(run_onnx("Resize", {kLinear},
                             {Tensor::of<uint8_t>({2}, std::span<const uint8_t>(bytes)), nullptr, numbers({2})})),
               {0, 64, 191, 255});
  const bool flags[] = {true, false};
  expect_close(
      only(run_onnx("Resize", {}, {Tensor::of<bool>({2}, std::span<const bool>(flags)), nullptr, numbers({2})})),
      {1, 1, 0, 0});
  expect_close(only(run_onnx("Resize", {kLinear}, {Tensor::of<double>({2}, {0.0, 1.0}), nullptr, numbers({2})})),
               {0, 0.25, 0.75, 1});
}

TEST(ReferenceResize, EmptyAndWrong) {
  TensorPtr y = only(run_onnx("Resize", {kLinear}, {floats({0, 3}, {}), nullptr, numbers({2, 2})}));
  ASSERT_TRUE(y);
  EXPECT_EQ(y->dims(), (Dims{0, 6}));
  EXPECT_FALSE(run_onnx("Resize", {}, {floats({0, 3}, {}), nullptr, nullptr, sizes({2, 2})}).ok());
  EXPECT_FALSE(run_onnx("Resize", {}, {small()}).ok());
  EXPECT_FALSE(run_onnx("Resize", {}, {small(), nullptr, numbers({1, 1})}).ok());
  EXPECT_FALSE(run_onnx("Resize", {}, {small(), nullptr, numbers({1, 1, 0, 1})}).ok());
  EXPECT_FALSE(run_onnx("Resize", {}, {small(), nullptr, numbers({1, 1, std::nanf(""), 1})}).ok());
  EXPECT_FALSE(run_onnx("Resize", {}, {small(), nullptr, nullptr, sizes({1, 1, -1, 1})}).ok());
  EXPECT_FALSE(run_onnx("Resize", {text("mode", "lanczos")}, {small(), nullptr, numbers({1, 1, 1, 1})}).ok());
  EXPECT_FALSE(run_onnx("Resize", {{"axes", Ints{2, 2}}}, {small(), nullptr, numbers({1, 1})}).ok());
}

// The size of floor(size * scale) in float32, symbolic and in numbers, for all kinds of scales.
TEST(InferResize, SymbolicSizesAreTheKernels) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    const float choices[] = {2, 0.5f, 0.25f, 3, 1, 1.5f, 0.7f, static_cast<float>(rng() % 1000) / 300 + 0.01f};
    const float scale = choices[rng() % 8];
    const auto size = static_cast<int64_t>(1 + rng() % 300);
    const TensorPtr x = random_tensor(rng, DType::kFloat32, {size});
    for (const RunOptions& way : ways()) {
      TensorPtr y = only(run_onnx("Resize", {}, {x, nullptr, numbers({scale})}, way));
      ASSERT_TRUE(y);
      EXPECT_EQ(y->dims()[0], static_cast<int64_t>(std::floor(static_cast<float>(size) * scale)));
    }
  }
}

TEST(InferResize, WholeScalesStayPolynomials) {
  Graph graph("g");
  const Dim h(graph.declare_symbol({"h", 1, 8192, false}));
  Value *x = graph.add_input("x", DType::kFloat32, {1, h}), *scales = graph.add_constant(numbers({1, 2}));
  ResizeAttrs attrs;
  attrs.axes = {0, 1};
  Node* node = graph.add_node(find_op("Resize"), make_attrs(attrs), {x, nullptr, scales});
  ASSERT_TRUE(infer_node(graph, *node).ok());
  EXPECT_EQ(node->output()->shape[1], h * 2);
}

}  // namespace
}  // namespace fovea::core::test
