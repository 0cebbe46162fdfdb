// TopK, CumSum and Unique against sorting, summing and searching.
#include <algorithm>
#include <map>

#include "kernels/reference/layout/oracle.h"

namespace fovea::core::test {
namespace {

TEST(TopK, SortsWithTiesByLowestIndex) {
  FOVEA_SEEDS(seed, 120) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 3, axis = rng() % rank;
    const DType type = std::array{DType::kFloat32, DType::kInt64, DType::kUInt8, DType::kFloat16,
                                  DType::kFloat64, DType::kInt32, DType::kUInt64}[rng() % 7];
    const Dims from = random_dims(rng, rank, rank == 1 ? 300 : 9);
    const bool ties = rng() % 2, largest = rng() % 2;
    std::vector<double> v(static_cast<size_t>(*element_count(from)));
    for (double& e : v) e = static_cast<double>(rng() % (ties ? 4 : 200));
    if (is_float(type))
      for (double& e : v)
        if (rng() % 20 == 0) e = std::array{std::nan(""), INFINITY + 0.0, -INFINITY + 0.0, -0.0}[rng() % 4];
    auto x =
        run_onnx("Cast", {{"to", static_cast<int64_t>(type)}}, {Tensor::of<double>(from, std::span<const double>(v))});
    ASSERT_TRUE(x.ok());
    const int64_t size = from[axis], k = static_cast<int64_t>(rng()) % (size + 1);
    AttrMap attributes{{"axis", static_cast<int64_t>(axis)},
                       {"largest", int64_t{largest}},
                       {"sorted", static_cast<int64_t>(rng() % 2)}};
    auto y = run_all_ways({"TopK", attributes, 11, {1}, false, 2}, {(*x)[0], ints({k})});
    Dims dims = from;
    dims[axis] = k;
    std::vector<double> order(static_cast<size_t>(*element_count(dims)));
    const Numbers numbers((*x)[0]);
    each_index(dims, [&](const Index& at) {
      std::vector<int64_t> places(static_cast<size_t>(size));
      for (size_t i = 0; i < places.size(); ++i) places[i] = static_cast<int64_t>(i);
      auto value = [&](int64_t i) {
        Index from_at = at;
        from_at[axis] = i;
        return numbers.at(from_at);
      };
      std::stable_sort(places.begin(), places.end(), [&](int64_t a, int64_t b) {
        const double p = value(a), q = value(b);
        if (std::isnan(p) || std::isnan(q))
          return largest ? std::isnan(p) && !std::isnan(q) : std::isnan(q) && !std::isnan(p);
        return largest ? p > q : p < q;
      });
      order[static_cast<size_t>(flat(at, dims))] = static_cast<double>(places[static_cast<size_t>(at[axis])]);
    });
    expect_elements(y[1], dims, [&](const Index& at) { return order[static_cast<size_t>(flat(at, dims))]; });
    expect_elements(y[0], dims, [&](Index at) {
      at[axis] = static_cast<int64_t>(order[static_cast<size_t>(flat(at, dims))]);
      return numbers.at(at);
    });
  }
}

TEST(TopK, MoreThanThereAreIsAnError) {
  for (bool hidden : {false, true})
    for (int64_t k : {int64_t{4}, int64_t{-1}, INT64_MAX}) {
      RunOptions o;
      o.outputs = 2;
      if (hidden) o.runtime = {1};
      auto y = run_onnx("TopK", {}, {floats({3}, {1, 2, 3}), ints({k})}, o);
      ASSERT_FALSE(y.ok());
      EXPECT_NE(y.status().message().find(std::to_string(k)), std::string::npos) << y.status().message();
    }
}

TEST(TopK, OneOutputAlone) {
  auto y = run_onnx("TopK", {}, {floats({3}, {1, 3, 2}), ints({2})});
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE((*y)[0]->same_as(*floats({2}, {3, 2})));
}

TEST(CumSum, Sums) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 3, axis = rng() % rank;
    const bool exclusive = rng() % 2, reverse = rng() % 2;
    const DType type = std::array{DType::kInt32, DType::kInt64, DType::kFloat64, DType::kUInt8}[rng() % 4];
    const Dims dims = random_dims(rng, rank, 6);
    TensorPtr x = random_tensor(rng, type, dims);
    const auto given = static_cast<int64_t>(axis) - (rng() % 2 ? static_cast<int64_t>(rank) : 0);
    auto y = run_all_ways({"CumSum", {{"exclusive", int64_t{exclusive}}, {"reverse", int64_t{reverse}}}, 14, {1}, true},
                          {x, Tensor::scalar(static_cast<int32_t>(given))})[0];
    ASSERT_TRUE(y);
    const Numbers from(x), found(y);
    each_index(dims, [&](Index at) {
      const int64_t here = at[axis];
      const double is = found.at(at);
      double sum = 0, magnitude = 0;
      for (at[axis] = 0; at[axis] < dims[axis]; ++at[axis]) {
        const int64_t distance = reverse ? at[axis] - here : here - at[axis];
        if (distance < (exclusive ? 1 : 0)) continue;
        sum += from.at(at), magnitude += std::fabs(from.at(at));
      }
      if (type == DType::kUInt8) sum = std::fmod(sum, 256);
      // Sums of n numbers in float64, in either order, differ by at most n epsilons of the sum of magnitudes.
      EXPECT_LE(std::fabs(is - sum), is_float(type) ? 6 * 2.3e-16 * magnitude : 0) << is << " " << sum;
    });
  }
  EXPECT_FALSE(run_onnx("CumSum", {}, {ints({1}), Tensor::scalar<int64_t>(1)}).ok());
}

TEST(Unique, ExamplesOfTheSpecification) {
  RunOptions o;
  o.outputs = 4;
  auto y = run_onnx("Unique", {{"sorted", int64_t{0}}}, {floats({6}, {2, 1, 1, 3, 4, 3})}, o);
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE((*y)[0]->same_as(*floats({4}, {2, 1, 3, 4})));
  EXPECT_TRUE((*y)[1]->same_as(*ints({0, 1, 3, 4})));
  EXPECT_TRUE((*y)[2]->same_as(*ints({0, 1, 1, 2, 3, 2})));
  EXPECT_TRUE((*y)[3]->same_as(*ints({1, 2, 2, 1})));
  y = run_onnx("Unique", {}, {floats({2, 2}, {1, 3, 2, 3})}, o);
  ASSERT_TRUE(y.ok());
  EXPECT_TRUE((*y)[1]->same_as(*ints({0, 2, 1})));
  EXPECT_TRUE((*y)[2]->same_as(*ints({0, 2, 1, 2})));
  y = run_onnx("Unique", {{"axis", int64_t{1}}}, {floats({2, 4, 2}, {1, 1, 0, 1, 2, 1, 0, 1, 1, 1, 0, 1, 2, 1, 0, 1})},
               o);
  ASSERT_TRUE(y.ok());
  EXPECT_TRUE((*y)[0]->same_as(*floats({2, 3, 2}, {0, 1, 1, 1, 2, 1, 0, 1, 1, 1, 2, 1})));
  EXPECT_TRUE((*y)[1]->same_as(*ints({1, 0, 2})));
  EXPECT_TRUE((*y)[2]->same_as(*ints({1, 0, 2, 0})));
  EXPECT_TRUE((*y)[3]->same_as(*ints({2, 1, 1})));
}

TEST(Unique, FindsEachOnce) {
  FOVEA_SEEDS(seed, 40) {
    std::mt19937 rng(seed);
    std::vector<int64_t> v(rng() % 30);
    for (int64_t& e : v) e = static_cast<int64_t>(rng() % 6) - 3;
    const bool sorted = rng() % 2;
    auto y = run_all_ways({"Unique", {{"sorted", int64_t{sorted}}}, 11, {}, false, 4}, {ints(v)});
    std::vector<int64_t> values = v, counts, first, inverse;
    if (sorted)
      std::sort(values.begin(), values.end()), values.erase(std::unique(values.begin(), values.end()), values.end());
    else {
      values.clear();
      for (int64_t e : v)
        if (std::find(values.begin(), values.end(), e) == values.end()) values.push_back(e);
    }
    for (int64_t e : values)
      counts.push_back(std::count(v.begin(), v.end(), e)),
          first.push_back(std::find(v.begin(), v.end(), e) - v.begin());
    for (int64_t e : v) inverse.push_back(std::find(values.begin(), values.end(), e) - values.begin());
    EXPECT_TRUE(y[0]->same_as(*ints(values)));
    EXPECT_TRUE(y[1]->same_as(*ints(first)));
    EXPECT_TRUE(y[2]->same_as(*ints(inverse)));
    EXPECT_TRUE(y[3]->same_as(*ints(counts)));
  }
}

}  // namespace
}  // namespace fovea::core::test
