#include "ops/pool.h"

#include <cmath>

#include "kernels/reference/close.h"

namespace fovea::core::test {
namespace {

using Ints = std::vector<int64_t>;

// A window's elements, one call for each spatial axis.
struct Axis {
  int64_t in, out, kernel, stride, dilation, begin, end;
};

template <typename F>
void each_place(const std::vector<int64_t>& sizes, F f) {
  Ints at(sizes.size());
  int64_t count = 1;
  for (int64_t s : sizes) count *= s;
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    for (size_t d = sizes.size(); d-- > 0; rest /= sizes[d]) at[d] = rest % sizes[d];
    f(at);
  }
}

enum class What { kMax, kMean, kMeanWithPads, kNorm };

double pooled(const std::vector<Axis>& axes, const double* plane, const Ints& out, What what) {
  Ints kernel;
  for (const Axis& a : axes) kernel.push_back(a.kernel);
  double best = -std::numeric_limits<double>::infinity(), sum = 0, count = 0, padded = 0, norm = 0;
  each_place(kernel, [&](const Ints& tap) {
    bool inside = true, in_padding = true;
    int64_t index = 0;
    for (size_t d = 0; d < axes.size(); ++d) {
      const Axis& a = axes[d];
      const int64_t i = out[d] * a.stride - a.begin + tap[d] * a.dilation;
      inside &= i >= 0 && i < a.in;
      in_padding &= i < a.in + a.end;
      index = index * a.in + i;
    }
    padded += in_padding;
    if (!inside) return;
    best = std::max(best, plane[index]), sum += plane[index], norm += plane[index] * plane[index], ++count;
  });
  switch (what) {
    case What::kMax: return best;
    case What::kMean: return sum / count;
    case What::kMeanWithPads: return sum / padded;
    case What::kNorm: return std::sqrt(norm);
  }
  return 0;
}

TEST(ReferencePool, EqualsNaiveWindows) {
  for (unsigned seed = 0; seed < 80; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    auto pick = [&](int64_t low, int64_t high) {
      return low + static_cast<int64_t>(rng() % static_cast<uint64_t>(high - low + 1));
    };
    const size_t spatial = 1 + rng() % 3;
    const bool ceil_mode = rng() % 2;
    std::vector<Axis> axes(spatial);
    Dims dims = {pick(0, 2), pick(1, 3)};
    Ints kernel, strides, dilations, pads(2 * spatial), out;
    for (size_t i = 0; i < spatial; ++i) {
      Axis& a = axes[i];
      a.kernel = pick(1, 4), a.dilation = pick(1, 2), a.stride = pick(1, 4);
      a.begin = pick(0, a.kernel - 1), a.end = pick(0, a.kernel - 1);
      const int64_t extent = (a.kernel - 1) * a.dilation + 1;
      a.in = pick(extent, extent + 6);
      const int64_t rest = a.in + a.begin + a.end - extent;
      a.out = (ceil_mode ? (rest + a.stride - 1) / a.stride : rest / a.stride) + 1;
      while (ceil_mode && (a.out - 1) * a.stride >= a.in + a.begin) --a.out;
      kernel.push_back(a.kernel), strides.push_back(a.stride), dilations.push_back(a.dilation), dims.push_back(a.in),
          out.push_back(a.out);
      pads[i] = a.begin, pads[i + spatial] = a.end;
    }
    const TensorPtr x = random_tensor(rng, DType::kFloat32, dims);
    const auto values = x->to_doubles();
    int64_t plane = 1;
    for (const Axis& a : axes) plane *= a.in;
    const AttrMap attrs = {{"kernel_shape", kernel},
                           {"strides", strides},
                           {"dilations", dilations},
                           {"pads", pads},
                           {"ceil_mode", int64_t{ceil_mode}}};
    AttrMap with_pads = attrs;
    with_pads.emplace_back("count_include_pad", int64_t{1});
    const std::tuple<const char*, AttrMap, What> kinds[] = {{"MaxPool", attrs, What::kMax},
                                                            {"AveragePool", attrs, What::kMean},
                                                            {"AveragePool", with_pads, What::kMeanWithPads},
                                                            {"LpPool", attrs, What::kNorm}};
    for (const auto& [op, a, what] : kinds) {
      SCOPED_TRACE(op);
      std::vector<double> want;
      for (int64_t p = 0; p < dims[0] * dims[1]; ++p)
        each_place(out, [&](const Ints& at) { want.push_back(pooled(axes, values.data() + p * plane, at, what)); });
      for (RunOptions options : layouts()) {
        const TensorPtr y = only(run_onnx(op, a, {x}, options));
        ASSERT_TRUE(y);
        ASSERT_EQ(Ints(y->dims().begin() + 2, y->dims().end()), out);
        expect_close(y, want);
      }
    }
  }
}

TEST(ReferenceMaxPool, Indices) {
  const TensorPtr x = floats({1, 2, 2, 3}, {1, 9, 3, 4, 5, 6, 7, 8, 2, 10, 11, 0});
  RunOptions two;
  two.outputs = 2;
  auto run = [&](int64_t order) {
    return run_onnx("MaxPool", {{"kernel_shape", Ints{2, 2}}, {"storage_order", order}}, {x}, two);
  };
  auto rows = run(0), columns = run(1);
  ASSERT_TRUE(rows.ok() && columns.ok());
  expect_close((*rows)[0], {9, 9, 11, 11});
  EXPECT_EQ((*rows)[1]->to_ints(), (Ints{1, 1, 10, 10}));
  EXPECT_EQ((*columns)[1]->to_ints(), (Ints{2, 2, 9, 9}));
}

TEST(ReferenceMaxPool, IntegersAndNaN) {
  const int8_t v[] = {-3, -100, -128, -7};
  expect_close(only(run_onnx("MaxPool", {{"kernel_shape", Ints{2}}, {"pads", Ints{1, 1}}},
                             {Tensor::of<int8_t>({1, 1, 4}, std::span<const int8_t>(v))})),
               {-3, -3, -100, -7, -7});
  const float nan = std::nanf("");
  expect_close(only(run_onnx("MaxPool", {{"kernel_shape", Ints{2}}}, {floats({1, 1, 4}, {1, nan, 2, 3})})),
               {nan, nan, 3});
}

TEST(ReferencePool, AutoPad) {
  const TensorPtr x = floats({1, 1, 5}, {1, 2, 3, 4, 5});
  for (RunOptions options : layouts()) {
    auto run = [&](const char* pad, int64_t stride) {
      return only(run_onnx("MaxPool",
                           {{"kernel_shape", Ints{2}}, {"strides", Ints{stride}}, {"auto_pad", std::string(pad)}}, {x},
                           options));
    };
    expect_close(run("SAME_UPPER", 1), {2, 3, 4, 5, 5});
    expect_close(run("SAME_LOWER", 1), {1, 2, 3, 4, 5});
    expect_close(run("SAME_UPPER", 2), {2, 4, 5});
    expect_close(run("SAME_LOWER", 2), {1, 3, 5});
    expect_close(run("VALID", 2), {2, 4});
  }
}

TEST(ReferencePool, GlobalPoolsAreReductions) {
  const TensorPtr x = floats({1, 2, 2, 2}, {1, 2, 3, 4, -1, -2, -3, -6});
  for (RunOptions options : layouts()) {
    expect_close(only(run_onnx("GlobalAveragePool", {}, {x}, options)), {2.5, -3});
    expect_close(only(run_onnx("GlobalMaxPool", {}, {x}, options)), {4, -1});
    expect_close(only(run_onnx("GlobalLpPool", {{"p", int64_t{1}}}, {x}, options)), {10, 12});
  }
}

TEST(ReferencePool, NamesWhatIsWrong) {
  const TensorPtr x = floats({1, 1, 3}, {1, 2, 3});
  auto message = [&](AttrMap attrs) {
    auto r = run_onnx("AveragePool", std::move(attrs), {x});
    return r.ok() ? std::string("no error") : r.status().message();
  };
  EXPECT_NE(message({}).find("kernel_shape"), std::string::npos) << message({});
  EXPECT_NE(message({{"kernel_shape", Ints{4}}}).find("does not fit"), std::string::npos);
  EXPECT_NE(message({{"kernel_shape", Ints{0}}}).find("kernel_shape"), std::string::npos);
  EXPECT_NE(message({{"kernel_shape", Ints{1, 1}}}).find("kernel_shape"), std::string::npos);
  EXPECT_NE(message({{"kernel_shape", Ints{2}}, {"strides", Ints{-1}}}).find("strides"), std::string::npos);
  EXPECT_FALSE(run_onnx("AveragePool", {{"kernel_shape", Ints{1}}}, {integers({1, 1, 1}, {1})}).ok());
}

}  // namespace
}  // namespace fovea::core::test
