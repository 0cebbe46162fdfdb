#include "ops/reduce.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/reference/close.h"

namespace fovea::core::test {
namespace {

using Values = std::vector<double>;
double sum_of(const Values& v) { return std::accumulate(v.begin(), v.end(), 0.0); }

struct Kind {
  const char* op;
  double (*value)(const Values&);
};
const Kind kKinds[] = {
    {"ReduceSum", sum_of},
    {"ReduceMean", [](const Values& v) { return sum_of(v) / static_cast<double>(v.size()); }},
    {"ReduceMax", [](const Values& v) { return *std::max_element(v.begin(), v.end()); }},
    {"ReduceMin", [](const Values& v) { return *std::min_element(v.begin(), v.end()); }},
    {"ReduceProd", [](const Values& v) { return std::accumulate(v.begin(), v.end(), 1.0, std::multiplies<>()); }},
    {"ReduceL1",
     [](const Values& v) {
       return std::accumulate(v.begin(), v.end(), 0.0, [](double s, double x) { return s + std::fabs(x); });
     }},
    {"ReduceL2", [](const Values& v) { return std::sqrt(std::inner_product(v.begin(), v.end(), v.begin(), 0.0)); }},
    {"ReduceSumSquare", [](const Values& v) { return std::inner_product(v.begin(), v.end(), v.begin(), 0.0); }},
    {"ReduceLogSum", [](const Values& v) { return std::log(sum_of(v)); }},
    {"ReduceLogSumExp",
     [](const Values& v) {
       return std::log(std::accumulate(v.begin(), v.end(), 0.0, [](double s, double x) { return s + std::exp(x); }));
     }},
};

bool contains(const std::vector<int64_t>& v, size_t i) {
  return std::find(v.begin(), v.end(), static_cast<int64_t>(i)) != v.end();
}

std::vector<double> naive(const Kind& kind, const Tensor& x, const std::vector<int64_t>& axes) {
  const auto values = x.to_doubles();
  size_t groups = 1;
  for (size_t d = 0; d < x.dims().size(); ++d)
    if (!contains(axes, d)) groups *= static_cast<size_t>(x.dims()[d]);
  std::vector<Values> members(groups);
  for (size_t i = 0; i < values.size(); ++i) {
    size_t rest = i, group = 0, stride = 1;
    for (size_t d = x.dims().size(); d-- > 0;) {
      const auto size = static_cast<size_t>(x.dims()[d]);
      if (!contains(axes, d)) group += rest % size * stride, stride *= size;
      rest /= size;
    }
    members[group].push_back(values[i]);
  }
  std::vector<double> out;
  for (const Values& m : members) out.push_back(kind.value(m));
  return out;
}

TEST(ReferenceReduce, EqualsNaiveReductions) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    std::mt19937 rng(seed);
    Dims dims;
    std::vector<int64_t> axes;
    for (unsigned d = 0, rank = rng() % 5; d < rank; ++d) {
      dims.push_back(1 + static_cast<int64_t>(rng() % 4));
      if (rng() % 2) axes.push_back(d);
    }
    if (axes.empty() && !dims.empty()) axes.push_back(0);
    std::vector<int64_t> shuffled = axes;
    std::shuffle(shuffled.begin(), shuffled.end(), rng);
    for (int64_t& a : shuffled)
      if (rng() % 2) a -= static_cast<int64_t>(dims.size());
    const bool keep = rng() % 2;
    for (const Kind& kind : kKinds)
      for (DType type : {DType::kFloat32, DType::kFloat64, DType::kInt64}) {
        if (type == DType::kInt64 && std::string_view(kind.op).starts_with("ReduceL")) continue;
        SCOPED_TRACE(fmt::format("{} of {}, seed {}", kind.op, to_string(type), seed));
        const TensorPtr x = random_tensor(rng, type, dims);
        auto want = naive(kind, *x, axes);
        if (type == DType::kInt64) {
          if (std::string_view(kind.op) == "ReduceProd") continue;  // wraps
          for (double& v : want) v = std::trunc(v);
        }
        for (RunOptions options : layouts()) {
          options.constants = {1};
          AttrMap attrs = {{"keepdims", int64_t{keep}}};
          TensorPtr y =
              only(run_onnx(kind.op, attrs, {x, integers({static_cast<int64_t>(shuffled.size())}, shuffled)}, options));
          expect_close(y, want, type == DType::kFloat64 ? 1e-13 : 8 * kFloatStep);
          options.opset = 11;
          attrs.emplace_back("axes", shuffled);
          expect_close(only(run_onnx(kind.op, attrs, {x}, options)), want,
                       type == DType::kFloat64 ? 1e-13 : 8 * kFloatStep);
        }
      }
  }
}

TEST(ReferenceReduce, NoAxesMeansAllOrNone) {
  const TensorPtr x = floats({2, 2}, {1, -2, 3, -4}), none = integers({0}, {});
  expect_close(only(run_onnx("ReduceSum", {}, {x})), {-2});
  expect_close(only(run_onnx("ReduceSum", {}, {x, none})), {-2});
  expect_close(only(run_onnx("ReduceSum", {{"noop_with_empty_axes", int64_t{1}}}, {x})), {1, -2, 3, -4});
  expect_close(only(run_onnx("ReduceSumSquare", {{"noop_with_empty_axes", int64_t{1}}}, {x, none})), {1, 4, 9, 16});
  expect_close(only(run_onnx("ReduceL1", {{"noop_with_empty_axes", int64_t{1}}}, {x})), {1, 2, 3, 4});
}

TEST(ReferenceReduce, EmptyReductionsGiveTheIdentity) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const TensorPtr x = floats({2, 0}, {}), axis = integers({1}, {1});
  auto run = [&](const char* op, const TensorPtr& t) { return only(run_onnx(op, {}, {t, axis})); };
  for (const char* op : {"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"}) expect_close(run(op, x), {0, 0});
  expect_close(run("ReduceProd", x), {1, 1});
  expect_close(run("ReduceMax", x), {-inf, -inf});
  expect_close(run("ReduceMin", x), {inf, inf});
  expect_close(run("ReduceMean", x), {nan, nan});
  expect_close(run("ReduceLogSum", x), {-inf, -inf});
  expect_close(run("ReduceLogSumExp", x), {-inf, -inf});
  const TensorPtr bytes = Tensor::of<uint8_t>({1, 0}, {});
  expect_close(run("ReduceMax", bytes), {0});
  expect_close(run("ReduceMin", bytes), {255});
  EXPECT_FALSE(run_onnx("ReduceMean", {}, {integers({1, 0}, {}), axis}).ok());
}

TEST(ReferenceReduce, NaNAndInfinity) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const TensorPtr x = floats({4, 2}, {nan, 1, 2, nan, inf, inf, -inf, -inf});
  auto run = [&](const char* op) { return only(run_onnx(op, {{"keepdims", int64_t{0}}}, {x, integers({1}, {1})})); };
  expect_close(run("ReduceMax"), {nan, nan, inf, -inf});
  expect_close(run("ReduceMin"), {nan, nan, inf, -inf});
  expect_close(run("ReduceLogSumExp"), {nan, nan, inf, -inf});
  expect_close(only(run_onnx("ReduceLogSumExp", {{"keepdims", int64_t{0}}}, {floats({2}, {1000, 1000})})),
               {1000 + std::log(2.0)});
}

TEST(ReferenceReduce, BoolsAreOrdered) {
  const bool v[] = {false, true, false, false};
  const TensorPtr x = Tensor::of<bool>({2, 2}, std::span<const bool>(v));
  expect_close(only(run_onnx("ReduceMax", {{"keepdims", int64_t{0}}}, {x, integers({1}, {1})})), {1, 0});
  expect_close(only(run_onnx("ReduceMin", {{"keepdims", int64_t{0}}}, {x, integers({1}, {0})})), {0, 0});
}

TEST(InferReduce, KnownElements) {
  RunOptions options;
  options.symbolic = {0};
  const TensorPtr x = integers({2, 3}, {4, -1, 7, 2, 2, 9});
  for (const char* op : {"ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin"})
    for (std::vector<int64_t> axes : {std::vector<int64_t>{0}, {1}, {0, 1}})
      ASSERT_TRUE(only(run_onnx(op, {}, {x, integers({static_cast<int64_t>(axes.size())}, axes)}, options))) << op;
  Graph graph("g");
  const Dim h(graph.declare_symbol({"h", 1, 64, false}));
  Value* v = graph.add_input("v", DType::kInt64, {2});
  v->known = std::make_shared<const SymValue>(SymValue{h, Expr(3)});
  ReduceAttrs attrs;
  attrs.axes = {0}, attrs.keepdims = false;
  Node* node = graph.add_node(find_op("ReduceProd"), make_attrs(attrs), {v});
  ASSERT_TRUE(infer_node(graph, *node).ok());
  EXPECT_EQ(*node->output()->known->front(), h * 3);
}

TEST(ReferenceArgMax, TiesNaNAndAxes) {
  const float nan = std::nanf("");
  const TensorPtr x = floats({2, 3}, {1, 5, 5, 7, nan, 9});
  auto run = [&](const char* op, AttrMap attrs) { return only(run_onnx(op, attrs, {x})); };
  const std::pair<std::string, AttrValue> axis = {"axis", int64_t{-1}}, last = {"select_last_index", int64_t{1}},
                                          drop = {"keepdims", int64_t{0}};
  expect_close(run("ArgMax", {axis}), {1, 1});
  expect_close(run("ArgMax", {axis, last, drop}), {2, 1});
  expect_close(run("ArgMin", {axis}), {0, 1});
  expect_close(run("ArgMax", {}), {1, 1, 1});
  for (RunOptions options : layouts())
    expect_close(only(run_onnx("ArgMin", {}, {integers({3, 2}, {3, 1, 2, 1, 2, 4})}, options)), {1, 0});
  EXPECT_FALSE(run_onnx("ArgMax", {}, {floats({0, 2}, {})}).ok());
  EXPECT_FALSE(run_onnx("ArgMax", {{"axis", int64_t{2}}}, {x}).ok());
  TensorPtr empty = only(run_onnx("ArgMax", {axis}, {floats({0, 3}, {})}));
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->dims(), (Dims{0, 1}));
}

}  // namespace
}  // namespace fovea::core::test
