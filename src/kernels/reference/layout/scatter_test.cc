// ScatterND and ScatterElements against their definitions, and Pad, OneHot, Trilu, EyeLike, Range, ConstantOfShape.
#include <fmt/ranges.h>

#include "kernels/reference/layout/oracle.h"

namespace fovea::core::test {
namespace {

double combine(const std::string& reduction, double old, double update) {
  if (reduction == "add") return old + update;
  if (reduction == "mul") return old * update;
  if (reduction == "max") return std::max(old, update);
  if (reduction == "min") return std::min(old, update);
  return update;
}

const char* const kReductions[] = {"none", "add", "mul", "max", "min"};

// Small whole numbers, so that sums and products are exact in every type.
TensorPtr small_numbers(std::mt19937& rng, DType type, Dims dims) {
  std::vector<float> v(static_cast<size_t>(*element_count(dims)));
  for (float& e : v) e = static_cast<float>(rng() % 3);
  auto r = run_onnx("Cast", {{"to", static_cast<int64_t>(type)}}, {floats(std::move(dims), v)});
  return r.ok() ? (*r)[0] : nullptr;
}

class Scatter : public ::testing::Test {};

TEST_F(Scatter, NDWritesSlices) {
  FOVEA_SEEDS(seed, 100) {
    std::mt19937 rng(seed);
    const std::string reduction = kReductions[rng() % 5];
    const DType type =
        std::array{DType::kFloat32, DType::kInt64, DType::kInt32, DType::kFloat64, DType::kFloat16}[rng() % 5];
    const size_t rank = 1 + rng() % 3, tuple = 1 + rng() % rank;
    const Dims dims = random_dims(rng, rank, 4, false);
    TensorPtr x = small_numbers(rng, type, dims);
    Dims index_dims = random_dims(rng, 1 + rng() % 2, 3), update_dims = index_dims;
    index_dims.push_back(static_cast<int64_t>(tuple));
    update_dims.insert(update_dims.end(), dims.begin() + static_cast<int64_t>(tuple), dims.end());
    std::vector<int64_t> index(static_cast<size_t>(*element_count(index_dims)));
    for (size_t i = 0; i < index.size(); ++i) {
      const int64_t size = dims[i % tuple];
      index[i] = static_cast<int64_t>(rng()) % (2 * size) - size;
    }
    TensorPtr updates = small_numbers(rng, type, update_dims);
    AttrMap attributes;
    if (reduction != "none") attributes = {{"reduction", reduction}};
    auto y = run_all_ways({"ScatterND", attributes, 18, {1}}, {x, ints_of(index_dims, index), updates})[0];

    std::vector<double> want = x->to_doubles();
    const std::vector<double> with = updates->to_doubles();
    size_t slice = 1;
    for (size_t d = tuple; d < rank; ++d) slice *= static_cast<size_t>(dims[d]);
    for (size_t t = 0; t * tuple < index.size(); ++t) {
      Index at(rank, 0);
      for (size_t k = 0; k < tuple; ++k) at[k] = (index[t * tuple + k] + dims[k]) % dims[k];
      for (size_t k = 0; k < slice; ++k) {
        double& e = want[static_cast<size_t>(flat(at, dims)) + k];
        e = combine(reduction, e, with[t * slice + k]);
      }
    }
    expect_elements(y, dims, [&](const Index& at) { return want[static_cast<size_t>(flat(at, dims))]; });
  }
}

TEST_F(Scatter, ElementsWriteAlongAnAxis) {
  FOVEA_SEEDS(seed, 100) {
    std::mt19937 rng(seed);
    const std::string reduction = kReductions[rng() % 5];
    const DType type = std::array{DType::kFloat32, DType::kInt64, DType::kUInt8, DType::kFloat64}[rng() % 4];
    const size_t rank = 1 + rng() % 3, axis = rng() % rank;
    const Dims dims = random_dims(rng, rank, 4, false);
    Dims index_dims = dims;
    for (int64_t& d : index_dims) d = 1 + static_cast<int64_t>(rng()) % d;
    index_dims[axis] = static_cast<int64_t>(rng() % 5);
    TensorPtr x = small_numbers(rng, type, dims), updates = small_numbers(rng, type, index_dims);
    std::vector<int64_t> index(static_cast<size_t>(*element_count(index_dims)));
    for (int64_t& i : index) i = static_cast<int64_t>(rng()) % (2 * dims[axis]) - dims[axis];
    AttrMap attributes{{"axis", static_cast<int64_t>(axis)}};
    if (reduction != "none") attributes.emplace_back("reduction", reduction);
    auto y = run_all_ways({"ScatterElements", attributes, 18, {1}}, {x, ints_of(index_dims, index), updates})[0];
    std::vector<double> want = x->to_doubles();
    const Numbers with(updates);
    each_index(index_dims, [&](Index at) {
      const Index place = at;
      at[axis] = (index[static_cast<size_t>(flat(at, index_dims))] + dims[axis]) % dims[axis];
      double& e = want[static_cast<size_t>(flat(at, dims))];
      e = combine(reduction, e, with.at(place));
    });
    expect_elements(y, dims, [&](const Index& at) { return want[static_cast<size_t>(flat(at, dims))]; });
  }
}

TEST_F(Scatter, NaNWinsMaximaAndMinima) {
  const float nan = std::nanf("");
  for (const char* reduction : {"max", "min"}) {
    auto y = run_onnx("ScatterElements", {{"reduction", std::string(reduction)}},
                      {floats({2}, {nan, 1}), ints({0, 1}), floats({2}, {1, nan})});
    ASSERT_TRUE(y.ok()) << y.status().message();
    for (float v : (*y)[0]->as<float>()) EXPECT_TRUE(std::isnan(v));
  }
}

TEST_F(Scatter, WrongIndicesAndSizesAreErrors) {
  TensorPtr x = floats({3, 2}, {1, 2, 3, 4, 5, 6}), one = floats({1, 2}, {7, 8});
  for (bool hidden : {false, true})
    for (int64_t bad : {int64_t{3}, int64_t{-4}, INT64_MIN}) {
      RunOptions o;
      if (hidden) o.runtime = {1};
      auto y = run_onnx("ScatterND", {}, {x, ints_of({1, 1}, {bad}), one}, o);
      ASSERT_FALSE(y.ok());
      EXPECT_NE(y.status().message().find("[-3, 3)"), std::string::npos) << y.status().message();
      EXPECT_FALSE(run_onnx("ScatterElements", {}, {x, ints_of({1, 2}, {0, bad}), one}, o).ok());
    }
  RunOptions o;
  o.symbolic_shapes = true, o.constants = {1};
  for (const RunOptions& options : {RunOptions{}, o}) {
    EXPECT_FALSE(run_onnx("ScatterND", {}, {x, ints_of({2, 1}, {0, 1}), one}, options).ok());
    EXPECT_FALSE(run_onnx("ScatterElements", {}, {x, ints_of({2, 2}, {0, 1, 0, 1}), one}, options).ok());
    EXPECT_FALSE(
        run_onnx("ScatterElements", {}, {x, ints_of({1, 3}, {0, 1, 0}), floats({1, 3}, {1, 2, 3})}, options).ok());
  }
}

// numpy.pad's index rule, one step at a time.
int64_t mirrored(int64_t i, int64_t size, const std::string& mode) {
  while (i < 0 || i >= size) {
    if (mode == "wrap") i += i < 0 ? size : -size;
    else if (mode == "edge") i = i < 0 ? 0 : size - 1;
    else if (size == 1) i = 0;
    else i = i < 0 ? -i : 2 * (size - 1) - i;
  }
  return i;
}

TEST_F(Scatter, PadAddsAndTakesAway) {
  FOVEA_SEEDS(seed, 200) {
    std::mt19937 rng(seed);
    const std::string mode = std::array{"constant", "reflect", "edge", "wrap"}[rng() % 4];
    const size_t rank = 1 + rng() % 3;
    const Dims from = random_dims(rng, rank, 5, mode == "constant");
    const DType type = random_type(rng);
    TensorPtr x = random_tensor(rng, type, from), value = random_tensor(rng, type, {});
    std::vector<int64_t> axes(rank), before(rank), after(rank), pads;
    for (size_t d = 0; d < rank; ++d) axes[d] = static_cast<int64_t>(d);
    std::shuffle(axes.begin(), axes.end(), rng);
    const bool with_axes = rng() % 2, with_value = rng() % 2;
    if (with_axes) axes.resize(rng() % (rank + 1));
    else std::sort(axes.begin(), axes.end());
    Dims dims = from;
    for (int64_t axis : axes) {
      const auto a = static_cast<size_t>(axis);
      auto pad = [&](int64_t left) {
        return rng() % 3 == 0 ? -static_cast<int64_t>(rng()) % left : static_cast<int64_t>(rng() % 9);
      };
      before[a] = from[a] > 1 ? pad(from[a]) : 1;
      after[a] = from[a] > 1 ? pad(before[a] < 0 ? from[a] + before[a] : from[a]) : 1;
      if (mode == "constant" && rng() % 8 == 0) after[a] = -from[a] - before[a];
      dims[a] += before[a] + after[a];
    }
    for (int64_t axis : axes) pads.push_back(before[static_cast<size_t>(axis)]);
    for (int64_t axis : axes) pads.push_back(after[static_cast<size_t>(axis)]);
    std::vector<TensorPtr> inputs{x, ints(pads), with_value ? value : nullptr, with_axes ? ints(axes) : nullptr};
    AttrMap attributes{{"mode", mode}};
    auto y = run_all_ways({"Pad", attributes, 19, {1, 3}, true}, inputs)[0];
    const double fill = with_value && mode == "constant" ? value->to_doubles()[0] : 0;
    expect_elements(y, dims, [&](Index at) {
      for (size_t d = 0; d < rank; ++d) {
        at[d] -= before[d];
        const int64_t first = std::max<int64_t>(0, -before[d]), last = std::min(from[d], from[d] + after[d]);
        if (mode == "constant" && (at[d] < 0 || at[d] >= from[d])) return fill;
        if (mode != "constant") at[d] = first + mirrored(at[d] - first, last - first, mode);
      }
      return Numbers(x).at(at);
    });
    for (bool symbols : {false, true}) {
      RunOptions o;
      (symbols ? o.symbolic : o.runtime) = {1};
      auto again = run_onnx("Pad", attributes, inputs, o);
      ASSERT_TRUE(again.ok()) << again.status().message();
      EXPECT_TRUE((*again)[0]->same_as(*y));
    }
  }
}

TEST_F(Scatter, PadRefusesWrongPads) {
  TensorPtr x = floats({2}, {1, 2});
  for (bool hidden : {false, true}) {
    RunOptions o;
    if (hidden) o.runtime = {1};
    EXPECT_FALSE(run_onnx("Pad", {}, {x, ints({-2, -1})}, o).ok());
    EXPECT_FALSE(run_onnx("Pad", {}, {x, ints({1})}, o).ok());
    EXPECT_FALSE(run_onnx("Pad", {{"mode", std::string("edge")}}, {floats({0}, {}), ints({1, 1})}, o).ok());
  }
  RunOptions o;
  o.runtime = {1};
  EXPECT_FALSE(run_onnx("Pad", {}, {x, ints({INT64_MIN, INT64_MIN})}, o).ok());
  EXPECT_FALSE(run_onnx("Pad", {}, {x, ints({INT64_MAX, INT64_MAX})}, o).ok());
  EXPECT_FALSE(run_onnx("Pad", {{"mode", std::string("mirror")}}, {x, ints({1, 1})}).ok());
}

TEST_F(Scatter, OneHotMarks) {
  FOVEA_SEEDS(seed, 40) {
    std::mt19937 rng(seed);
    const size_t rank = rng() % 3, axis = rng() % (rank + 1);
    const Dims from = random_dims(rng, rank, 4);
    const auto depth = static_cast<int64_t>(rng() % 5);
    std::vector<int64_t> index(static_cast<size_t>(*element_count(from)));
    for (int64_t& i : index) i = static_cast<int64_t>(rng() % 17) - 8;
    const DType type = random_type(rng);
    TensorPtr values = random_tensor(rng, type, {2});
    TensorPtr depth_tensor = rng() % 2 ? ints({depth}) : Tensor::scalar<float>(static_cast<float>(depth));
    auto y = run_all_ways({"OneHot", {{"axis", static_cast<int64_t>(axis)}}, 11, {1}},
                          {ints_of(from, index), depth_tensor, values})[0];
    Dims dims = from;
    dims.insert(dims.begin() + static_cast<int64_t>(axis), depth);
    expect_elements(y, dims, [&](Index at) {
      const int64_t place = at[axis];
      at.erase(at.begin() + static_cast<int64_t>(axis));
      const int64_t i = index[static_cast<size_t>(flat(at, from))];
      return values->to_doubles()[i == place || i + depth == place];
    });
  }
  EXPECT_FALSE(run_onnx("OneHot", {}, {ints({0}), ints({-1}), ints({0, 1})}).ok());
  EXPECT_FALSE(run_onnx("OneHot", {}, {ints({0}), ints({2}), ints({0, 1, 2})}).ok());
}

TEST_F(Scatter, TriluAndEyeLike) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    Dims dims = random_dims(rng, 2 + rng() % 2, 5);
    const size_t rank = dims.size();
    const bool upper = rng() % 2;
    const int64_t k = rng() % 6 == 0 ? (rng() % 2 ? INT64_MAX : INT64_MIN) : static_cast<int64_t>(rng() % 13) - 6;
    TensorPtr x = random_tensor(rng, random_type(rng), dims);
    auto y = run_all_ways({"Trilu", {{"upper", int64_t{upper}}}, 14, {1}}, {x, Tensor::scalar<int64_t>(k)})[0];
    expect_elements(y, dims, [&](const Index& at) {
      const __int128 diagonal = static_cast<__int128>(at[rank - 2]) + k, column = at[rank - 1];
      return (upper ? column >= diagonal : column <= diagonal) ? Numbers(x).at(at) : 0.0;
    });
    TensorPtr like = random_tensor(rng, DType::kInt32, random_dims(rng, 2, 5));
    y = run_all_ways({"EyeLike", {{"k", k}, {"dtype", static_cast<int64_t>(DType::kFloat16)}}, 9}, {like})[0];
    ASSERT_EQ(y->dtype(), DType::kFloat16);
    expect_elements(y, like->dims(), [&](const Index& at) {
      return static_cast<__int128>(at[1]) == static_cast<__int128>(at[0]) + k ? 1.0 : 0.0;
    });
  }
  auto y = run_onnx("EyeLike", {}, {ints_of({1, 2}, {5, 6})});
  ASSERT_TRUE(y.ok());
  EXPECT_TRUE((*y)[0]->same_as(*ints_of({1, 2}, {1, 0})));
  EXPECT_FALSE(run_onnx("Trilu", {}, {ints({1})}).ok());
  EXPECT_FALSE(run_onnx("EyeLike", {}, {ints({1})}).ok());
}

TEST_F(Scatter, RangeCounts) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    auto number = [&] { return static_cast<int64_t>(rng() % 41) - 20; };
    const int64_t start = number(), limit = number();
    int64_t delta = number();
    if (delta == 0) delta = 1;
    std::vector<int64_t> want;
    for (int64_t v = start; delta > 0 ? v < limit : v > limit; v += delta) want.push_back(v);
    auto y = run_all_ways({"Range", {}, 11, {0, 1, 2}},
                          {Tensor::scalar(start), Tensor::scalar(limit), Tensor::scalar(delta)})[0];
    EXPECT_TRUE(y->same_as(*ints(want))) << describe(*y);
    auto small = [](int64_t v) { return Tensor::scalar(static_cast<int16_t>(v)); };
    y = run_all_ways({"Range", {}, 11, {0, 1, 2}}, {small(start), small(limit), small(delta)})[0];
    EXPECT_EQ(y->to_ints(), want);
    auto quarter = [](int64_t v) { return Tensor::scalar(static_cast<float>(v) / 4); };
    y = run_all_ways({"Range", {}, 11, {0, 1, 2}}, {quarter(start), quarter(limit), quarter(delta)})[0];
    ASSERT_EQ(y->count(), static_cast<int64_t>(want.size()));
    for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(y->as<float>()[i], static_cast<float>(want[i]) / 4);
  }
  EXPECT_FALSE(
      run_onnx("Range", {}, {Tensor::scalar<int64_t>(0), Tensor::scalar<int64_t>(4), Tensor::scalar<int64_t>(0)}).ok());
  for (bool hidden : {false, true}) {
    RunOptions o;
    if (hidden) o.runtime = {0, 1, 2};
    EXPECT_FALSE(
        run_onnx("Range", {},
                 {Tensor::scalar<int64_t>(INT64_MIN), Tensor::scalar<int64_t>(INT64_MAX), Tensor::scalar<int64_t>(1)},
                 o)
            .ok());
    EXPECT_FALSE(
        run_onnx("Range", {}, {Tensor::scalar<float>(0), Tensor::scalar<float>(INFINITY), Tensor::scalar<float>(1)}, o)
            .ok());
    EXPECT_FALSE(run_onnx("Range", {},
                          {Tensor::scalar<float>(0), Tensor::scalar<float>(std::nanf("")), Tensor::scalar<float>(1)}, o)
                     .ok());
  }
}

TEST_F(Scatter, ShapeSizeAndConstantOfShape) {
  TensorPtr x = floats({2, 3, 4}, std::vector<float>(24));
  auto shape = [&](AttrMap attributes) {
    return run_all_ways({"Shape", std::move(attributes), 15}, {x})[0]->to_ints();
  };
  EXPECT_EQ(shape({}), (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(shape({{"start", int64_t{1}}}), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(shape({{"start", int64_t{-1}}}), (std::vector<int64_t>{4}));
  EXPECT_EQ(shape({{"end", int64_t{-1}}}), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(shape({{"start", int64_t{-9}}, {"end", int64_t{9}}}), (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(shape({{"start", int64_t{2}}, {"end", int64_t{1}}}), (std::vector<int64_t>{}));
  EXPECT_EQ(run_all_ways({"Size", {}, 13}, {x})[0]->to_ints(), (std::vector<int64_t>{24}));

  auto y = run_all_ways({"ConstantOfShape", {{"value", Tensor::of<int32_t>({1}, {7})}}, 9, {0}}, {ints({2, 1, 3})})[0];
  EXPECT_EQ(y->dims(), (Dims{2, 1, 3}));
  EXPECT_EQ(y->to_ints(), std::vector<int64_t>(6, 7));
  y = run_all_ways({"ConstantOfShape", {}, 9, {0}}, {ints({})})[0];
  EXPECT_EQ(y->dims(), Dims{});
  EXPECT_EQ(y->dtype(), DType::kFloat32);
  for (bool hidden : {false, true}) {
    RunOptions o;
    if (hidden) o.runtime = {0};
    EXPECT_FALSE(run_onnx("ConstantOfShape", {}, {ints({-1})}, o).ok());
  }
  EXPECT_FALSE(run_onnx("ConstantOfShape", {{"value", ints({1, 2})}}, {ints({1})}).ok());
}

}  // namespace
}  // namespace fovea::core::test
