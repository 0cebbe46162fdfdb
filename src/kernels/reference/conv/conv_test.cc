#include "ops/conv.h"

#include "kernels/reference/close.h"
#include "ops/conv_transpose.h"

namespace fovea::core::test {
namespace {

struct Case {
  Dims x, w;
  std::vector<int64_t> strides, dilations, pads;
  int64_t group;
  bool bias;
};

int64_t pick(std::mt19937& rng, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
}

Case random_case(std::mt19937& rng) {
  Case k;
  const int64_t spatial = pick(rng, 1, 3), inputs = pick(rng, 1, 3), outputs = pick(rng, 1, 5);
  k.group = pick(rng, 1, 3), k.bias = rng() % 2;
  k.x = {pick(rng, 0, 2), inputs * k.group}, k.w = {outputs * k.group, inputs};
  k.pads.resize(static_cast<size_t>(2 * spatial));
  for (int64_t i = 0; i < spatial; ++i) {
    k.w.push_back(pick(rng, 1, 3)), k.strides.push_back(pick(rng, 1, 3)), k.dilations.push_back(pick(rng, 1, 2));
    k.x.push_back(pick(rng, (k.w.back() - 1) * k.dilations.back() + 1, 9));
  }
  for (int64_t& p : k.pads) p = pick(rng, 0, 2);
  return k;
}

AttrMap attributes(const Case& k) {
  return {{"strides", k.strides},
          {"dilations", k.dilations},
          {"pads", k.pads},
          {"group", k.group},
          {"kernel_shape", std::vector<int64_t>(k.w.begin() + 2, k.w.end())}};
}

// Coordinates of the i-th element of a shape.
Dims coordinates(int64_t i, const Dims& dims) {
  Dims at(dims.size());
  for (size_t d = dims.size(); d-- > 0; i /= dims[d]) at[d] = i % dims[d];
  return at;
}
int64_t index_of(const Dims& at, const Dims& dims) {
  int64_t i = 0;
  for (size_t d = 0; d < dims.size(); ++d) i = i * dims[d] + at[d];
  return i;
}

std::vector<double> naive_conv(const Case& k, const Dims& y, const Tensor& x, const Tensor& w, const Tensor* b) {
  const auto xs = x.to_doubles(), ws = w.to_doubles(), bs = b ? b->to_doubles() : std::vector<double>();
  std::vector<double> out(static_cast<size_t>(*element_count(y)));
  for (size_t i = 0; i < out.size(); ++i) {
    const Dims at = coordinates(static_cast<int64_t>(i), y);
    const int64_t group = at[1] / (k.w[0] / k.group);
    out[i] = b ? bs[static_cast<size_t>(at[1])] : 0;
    for (int64_t j = 0; j < w.count(); ++j) {
      const Dims tap = coordinates(j, k.w);
      if (tap[0] != at[1]) continue;
      Dims from = {at[0], group * k.w[1] + tap[1]};
      bool inside = true;
      for (size_t d = 0; d < k.strides.size(); ++d) {
        from.push_back(at[d + 2] * k.strides[d] - k.pads[d] + tap[d + 2] * k.dilations[d]);
        inside &= from.back() >= 0 && from.back() < k.x[d + 2];
      }
      if (inside) out[i] += xs[static_cast<size_t>(index_of(from, k.x))] * ws[static_cast<size_t>(j)];
    }
  }
  return out;
}

TEST(ReferenceConv, EqualsNaiveSums) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    const Case k = random_case(rng);
    const TensorPtr x = random_tensor(rng, DType::kFloat32, k.x), w = random_tensor(rng, DType::kFloat32, k.w);
    const TensorPtr b = k.bias ? random_tensor(rng, DType::kFloat32, {k.w[0]}) : nullptr;
    for (RunOptions options : layouts()) {
      const TensorPtr y = only(run_onnx("Conv", attributes(k), {x, w, b}, options));
      ASSERT_TRUE(y);
      expect_close(y, naive_conv(k, y->dims(), *x, *w, b.get()));
    }
  }
}

TEST(ReferenceConv, Float64IsExactToItsType) {
  std::mt19937 rng(7);
  const Case k = {{1, 4, 5, 7}, {3, 4, 3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 1, false};
  const TensorPtr x = random_tensor(rng, DType::kFloat64, k.x), w = random_tensor(rng, DType::kFloat64, k.w);
  const TensorPtr y = only(run_onnx("Conv", attributes(k), {x, w}));
  ASSERT_TRUE(y);
  expect_close(y, naive_conv(k, y->dims(), *x, *w, nullptr), 1e-14);
}

// <A x, y> == <x, A' y> defines the transpose.
TEST(ReferenceConvTranspose, IsTheTransposeOfConv) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    Case k = random_case(rng);
    k.x[0] = std::max<int64_t>(1, k.x[0]);
    ConvAttrs conv;
    conv.strides = k.strides, conv.dilations = k.dilations, conv.pads = k.pads, conv.group = k.group;
    auto windows = conv_windows(conv, k.x, k.w);
    ASSERT_TRUE(windows.ok());
    Dims out = {k.x[0], k.w[0]};
    std::vector<int64_t> output_padding;
    for (int i = 0; i < windows->spatial; ++i) {
      const Window& a = windows->axis(i);
      out.push_back(a.out);
      output_padding.push_back(a.in - ((a.out - 1) * a.stride + a.extent() - a.pad_begin - a.pad_end));
    }
    const TensorPtr x = random_tensor(rng, DType::kFloat64, k.x), w = random_tensor(rng, DType::kFloat64, k.w),
                    y = random_tensor(rng, DType::kFloat64, out);
    const TensorPtr forward = only(run_onnx("Conv", attributes(k), {x, w}));
    AttrMap attrs = attributes(k);
    attrs.emplace_back("output_padding", output_padding);
    for (RunOptions options : layouts()) {
      const TensorPtr backward = only(run_onnx("ConvTranspose", attrs, {y, w}, options));
      ASSERT_TRUE(forward && backward);
      ASSERT_EQ(backward->dims(), k.x);
      double left = 0, right = 0;
      for (int64_t i = 0; i < y->count(); ++i)
        left += forward->as<double>()[static_cast<size_t>(i)] * y->as<double>()[static_cast<size_t>(i)];
      for (int64_t i = 0; i < x->count(); ++i)
        right += backward->as<double>()[static_cast<size_t>(i)] * x->as<double>()[static_cast<size_t>(i)];
      EXPECT_NEAR(left, right, 1e-10 * (1 + std::fabs(left)));
    }
  }
}

TEST(ReferenceConvTranspose, OutputShapeDecidesPadding) {
  const TensorPtr x = floats({1, 1, 2}, {1, 10}), w = floats({1, 1, 3}, {1, 2, 3});
  auto run = [&](AttrMap attrs) {
    attrs.emplace_back("strides", std::vector<int64_t>{2});
    return only(run_onnx("ConvTranspose", attrs, {x, w}));
  };
  const std::vector<int64_t> four = {4};
  expect_close(run({}), {1, 2, 13, 20, 30});
  expect_close(run({{"output_shape", four}}), {2, 13, 20, 30});
  expect_close(run({{"output_shape", four}, {"auto_pad", std::string("SAME_UPPER")}}), {1, 2, 13, 20});
  expect_close(run({{"output_shape", four}, {"auto_pad", std::string("SAME_LOWER")}}), {2, 13, 20, 30});
  expect_close(run({{"output_shape", std::vector<int64_t>{6}}}), {1, 2, 13, 20, 30, 0});
  expect_close(run({{"auto_pad", std::string("SAME_UPPER")}}), {1, 2, 13, 20});
  expect_close(run({{"auto_pad", std::string("SAME_LOWER")}}), {2, 13, 20, 30});
  expect_close(run({{"output_padding", std::vector<int64_t>{1}}}), {1, 2, 13, 20, 30, 0});
  EXPECT_FALSE(run_onnx("ConvTranspose",
                        {{"strides", std::vector<int64_t>{2}}, {"output_shape", std::vector<int64_t>{7}}}, {x, w})
                   .ok());
}

TEST(ReferenceConv, AutoPadMayDependOnTheSize) {
  const TensorPtr x = floats({1, 1, 4}, {1, 2, 3, 4}), w = floats({1, 1, 3}, {1, 10, 100});
  for (bool symbolic : {false, true}) {
    RunOptions options;
    options.symbolic_shapes = symbolic;
    auto run = [&](const char* pad, int64_t stride) {
      return only(run_onnx("Conv", {{"auto_pad", std::string(pad)}, {"strides", std::vector<int64_t>{stride}}}, {x, w},
                           options));
    };
    expect_close(run("SAME_UPPER", 1), {210, 321, 432, 43});
    expect_close(run("SAME_UPPER", 2), {321, 43});
    expect_close(run("SAME_LOWER", 2), {210, 432});
    expect_close(run("VALID", 1), {321, 432});
  }
}

std::string conv_error(AttrMap attrs, std::vector<TensorPtr> inputs) {
  auto r = run_onnx("Conv", std::move(attrs), inputs);
  return r.ok() ? "no error" : r.status().message();
}

TEST(ReferenceConv, NamesWhatIsWrong) {
  const TensorPtr x = floats({1, 2, 3, 3}, std::vector<float>(18, 1)), w = floats({1, 3, 1, 1}, {1, 1, 1}),
                  big = floats({1, 2, 4, 1}, std::vector<float>(8, 1));
  EXPECT_NE(conv_error({}, {x, w}).find("2 input channels"), std::string::npos) << conv_error({}, {x, w});
  EXPECT_NE(conv_error({}, {x, big}).find("does not fit"), std::string::npos) << conv_error({}, {x, big});
  EXPECT_NE(conv_error({{"strides", std::vector<int64_t>{0, 1}}}, {x, big}).find("strides"), std::string::npos);
  EXPECT_NE(conv_error({{"pads", std::vector<int64_t>{-1, 0, 0, 0}}}, {x, big}).find("pads"), std::string::npos);
  EXPECT_NE(conv_error({{"group", int64_t{0}}}, {x, big}).find("group"), std::string::npos);
  EXPECT_NE(conv_error({{"kernel_shape", std::vector<int64_t>{1, 1}}}, {x, big}).find("kernel_shape"),
            std::string::npos);
}

TEST(InferConv, OutputIsAnExactExpression) {
  Graph graph("g");
  const Dim h(graph.declare_symbol({"h", 1, 8192, false}));
  Value *x = graph.add_input("x", DType::kFloat32, {1, 3, h, h}),
        *w = graph.add_input("w", DType::kFloat32, {8, 3, 3, 3});
  ConvAttrs attrs;
  attrs.strides = {2, 1}, attrs.pads = {1, 1, 1, 1}, attrs.dilations = {1, 1};
  Node* node = graph.add_node(find_op("Conv"), make_attrs(attrs), {x, w});
  ASSERT_TRUE(infer_node(graph, *node).ok());
  EXPECT_EQ(node->output()->shape[2], floor_div(h + 2 - 3, 2) + 1);
  EXPECT_EQ(node->output()->shape[3], h);
}

}  // namespace
}  // namespace fovea::core::test
