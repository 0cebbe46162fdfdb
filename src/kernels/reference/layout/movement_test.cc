// Transpose, Concat, Split, Slice, Gather and their like against their definitions.
#include "kernels/reference/layout/oracle.h"

namespace fovea::core::test {
namespace {

class Movement : public ::testing::Test {};

TEST_F(Movement, TransposePermutes) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    const size_t rank = rng() % 6;
    TensorPtr x = random_tensor(rng, random_type(rng), random_dims(rng, rank, rank > 3 ? 5 : 40));
    std::vector<int64_t> perm(rank);
    for (size_t i = 0; i < rank; ++i) perm[i] = static_cast<int64_t>(i);
    std::shuffle(perm.begin(), perm.end(), rng);
    const bool reversed = rng() % 4 == 0;
    AttrMap attributes;
    if (reversed) std::reverse(perm.begin(), perm.end()), std::sort(perm.rbegin(), perm.rend());
    else attributes = {{"perm", perm}};
    auto y = run_all_ways({"Transpose", attributes}, {x})[0];
    Dims dims;
    for (int64_t p : perm) dims.push_back(x->dims()[static_cast<size_t>(p)]);
    const Numbers source(x);
    expect_elements(y, dims, [&](const Index& at) {
      Index from(rank);
      for (size_t i = 0; i < rank; ++i) from[static_cast<size_t>(perm[i])] = at[i];
      return source.at(from);
    });
  }
}

TEST_F(Movement, TransposeRefusesWrongPermutations) {
  for (std::vector<int64_t> perm : {std::vector<int64_t>{0, 0}, {0}, {0, 2}, {0, 1, 2}})
    EXPECT_FALSE(run_onnx("Transpose", {{"perm", perm}}, {floats({2, 2}, {1, 2, 3, 4})}).ok());
}

TEST_F(Movement, ConcatJoins) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 4, axis = rng() % rank, count = 1 + rng() % 4;
    const DType type = random_type(rng);
    const Dims base = random_dims(rng, rank, 7);
    std::vector<TensorPtr> parts;
    Dims dims = base;
    dims[axis] = 0;
    for (size_t i = 0; i < count; ++i) {
      Dims d = base;
      d[axis] = static_cast<int64_t>(rng() % 5);
      dims[axis] += d[axis];
      parts.push_back(random_tensor(rng, type, d));
    }
    const int64_t given =
        rng() % 2 ? static_cast<int64_t>(axis) : static_cast<int64_t>(axis) - static_cast<int64_t>(rank);
    auto y = run_all_ways({"Concat", {{"axis", given}}}, parts)[0];
    expect_elements(y, dims, [&](Index at) {
      for (const TensorPtr& p : parts) {
        if (at[axis] < p->dims()[axis]) return Numbers(p).at(at);
        at[axis] -= p->dims()[axis];
      }
      return -1.0;
    });
  }
}

TEST_F(Movement, ConcatRefusesOtherSizesAndTypes) {
  EXPECT_FALSE(run_onnx("Concat", {{"axis", int64_t{0}}}, {floats({1, 2}, {1, 2}), floats({1, 3}, {1, 2, 3})}).ok());
  EXPECT_FALSE(run_onnx("Concat", {{"axis", int64_t{0}}}, {ints({1}), floats({1}, {1})}).ok());
  EXPECT_FALSE(run_onnx("Concat", {{"axis", int64_t{2}}}, {ints({1}), ints({1})}).ok());
  EXPECT_FALSE(run_onnx("Concat", {{"axis", int64_t{0}}}, {Tensor::scalar<float>(1), Tensor::scalar<float>(2)}).ok());
}

TEST_F(Movement, SplitCuts) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 4, axis = rng() % rank, parts = 1 + rng() % 4;
    Dims dims = random_dims(rng, rank, 7);
    std::vector<int64_t> sizes;
    const bool equal = rng() % 2;
    dims[axis] = 0;
    const auto part = static_cast<int64_t>(rng() % 4);
    for (size_t i = 0; i < parts; ++i)
      sizes.push_back(equal ? part : static_cast<int64_t>(rng() % 4)), dims[axis] += sizes.back();
    TensorPtr x = random_tensor(rng, random_type(rng), dims);
    const int64_t opset = std::array<int64_t, 4>{11, 13, 18, 21}[rng() % 4];
    AttrMap attributes{{"axis", static_cast<int64_t>(axis)}};
    std::vector<TensorPtr> inputs{x};
    if (!equal && opset < 13) attributes.emplace_back("split", sizes);
    else if (!equal) inputs.push_back(ints(sizes));
    else if (opset >= 18) attributes.emplace_back("num_outputs", static_cast<int64_t>(parts));
    Ways ways{"Split", attributes, opset, {}, false, static_cast<int>(parts)};
    if (inputs.size() > 1) ways.index_inputs = {1};
    auto y = run_all_ways(ways, inputs);
    int64_t first = 0;
    for (size_t i = 0; i < parts; ++i) {
      Dims d = dims;
      d[axis] = sizes[i];
      expect_elements(y[i], d, [&](Index at) {
        at[axis] += first;
        return Numbers(x).at(at);
      });
      first += sizes[i];
    }
  }
}

TEST_F(Movement, SplitIntoUnequalPartsMakesTheLastOneSmaller) {
  RunOptions o;
  o.outputs = 3;
  auto y = run_onnx("Split", {{"num_outputs", int64_t{3}}}, {ints({0, 1, 2, 3, 4, 5, 6})}, o);
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE((*y)[0]->same_as(*ints({0, 1, 2})));
  EXPECT_TRUE((*y)[1]->same_as(*ints({3, 4, 5})));
  EXPECT_TRUE((*y)[2]->same_as(*ints({6})));
}

TEST_F(Movement, SplitRefusesWrongSizes) {
  RunOptions o;
  o.outputs = 2;
  EXPECT_FALSE(run_onnx("Split", {}, {ints({1, 2, 3}), ints({1, 1})}, o).ok());
  EXPECT_FALSE(run_onnx("Split", {}, {ints({1, 2, 3}), ints({4, -1})}, o).ok());
  EXPECT_FALSE(run_onnx("Split", {}, {ints({1, 2, 3}), ints({1, 1, 1})}, o).ok());
  o.runtime = {1};  // the same, found only in the run
  EXPECT_FALSE(run_onnx("Split", {}, {ints({1, 2, 3}), ints({1, 1})}, o).ok());
  EXPECT_FALSE(run_onnx("Split", {}, {ints({1, 2, 3}), ints({4, -1})}, o).ok());
  EXPECT_FALSE(run_onnx("Split", {}, {ints({1, 2, 3}), ints({INT64_MAX, INT64_MAX})}, o).ok());
  o.runtime = {}, o.opset = 13;
  EXPECT_FALSE(run_onnx("Split", {}, {ints({1, 2, 3})}, o).ok());
}

// NumPy's rule, in the words of the ONNX specification.
std::vector<int64_t> slice_places(int64_t size, int64_t start, int64_t end, int64_t step) {
  const __int128 n = size;
  __int128 s = start, e = end;
  if (s < 0) s += n;
  if (e < 0) e += n;
  if (step > 0) s = std::clamp<__int128>(s, 0, n), e = std::clamp<__int128>(e, 0, n);
  else if (size > 0) s = std::clamp<__int128>(s, 0, n - 1), e = std::clamp<__int128>(e, -1, n - 1);
  else return {};
  std::vector<int64_t> places;
  for (__int128 i = s; step > 0 ? i < e : i > e; i += step) places.push_back(static_cast<int64_t>(i));
  return places;
}

TEST_F(Movement, SliceTakesRanges) {
  FOVEA_SEEDS(seed, 300) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 3;
    TensorPtr x = random_tensor(rng, random_type(rng), random_dims(rng, rank, 6));
    auto bound = [&]() -> int64_t {
      switch (rng() % 8) {
        case 0: return INT64_MAX;
        case 1: return INT64_MIN;
        case 2: return INT64_MAX - 1;
        default: return static_cast<int64_t>(rng() % 17) - 8;
      }
    };
    std::vector<int64_t> order(rank), starts, ends, axes, steps;
    for (size_t i = 0; i < rank; ++i) order[i] = static_cast<int64_t>(i);
    std::shuffle(order.begin(), order.end(), rng);
    const size_t count = rng() % (rank + 1);
    const bool with_axes = rng() % 3 != 0, with_steps = rng() % 3 != 0;
    std::vector<std::vector<int64_t>> places;
    Dims dims = x->dims();
    for (size_t d = 0; d < rank; ++d) places.push_back(slice_places(dims[d], 0, INT64_MAX, 1));
    for (size_t i = 0; i < count; ++i) {
      const int64_t axis = with_axes ? order[i] : static_cast<int64_t>(i);
      starts.push_back(bound()), ends.push_back(bound());
      axes.push_back(rng() % 2 ? axis : axis - static_cast<int64_t>(rank));
      steps.push_back(!with_steps       ? 1
                      : rng() % 10 == 0 ? (rng() % 2 ? INT64_MAX : INT64_MIN)
                                        : std::array<int64_t, 5>{1, 2, 3, -1, -2}[rng() % 5]);
      places[static_cast<size_t>(axis)] =
          slice_places(dims[static_cast<size_t>(axis)], starts.back(), ends.back(), steps.back());
      dims[static_cast<size_t>(axis)] = static_cast<int64_t>(places[static_cast<size_t>(axis)].size());
    }
    std::vector<TensorPtr> inputs{x, ints(starts), ints(ends), with_axes ? ints(axes) : nullptr,
                                  with_steps ? ints(steps) : nullptr};
    // INT64_MIN and -MAX are no sizes: as symbols they stand outside the bounds that symbols have.
    bool huge = false;
    for (size_t i = 0; i < count; ++i) huge |= std::max(std::abs(starts[i] / 2), std::abs(ends[i] / 2)) > 100;
    Ways ways{"Slice", {}, 13, {1, 2}};
    if (with_axes) ways.index_inputs.push_back(3);
    if (with_steps) ways.index_inputs.push_back(4);
    ways.index_constant = true;
    auto y = run_all_ways(ways, inputs)[0];
    expect_elements(y, dims, [&](const Index& at) {
      Index from(rank);
      for (size_t d = 0; d < rank; ++d) from[d] = places[d][static_cast<size_t>(at[d])];
      return Numbers(x).at(from);
    });
    for (int way = 0; way < 3 && !HasFailure(); ++way) {
      RunOptions o;
      o.opset = 13;
      if (way == 0) o.runtime = {1, 2, 4};
      if (way == 1) o.symbolic = {1, 2};
      if (way == 2) o.symbolic = {1, 2}, o.symbolic_shapes = true;
      o.constants = {1, 2, 3, 4};
      if (way > 0 && huge) continue;
      auto again = run_onnx("Slice", {}, inputs, o);
      ASSERT_TRUE(again.ok()) << "way " << way << ": " << again.status().message();
      EXPECT_TRUE(y->same_as(*(*again)[0])) << describe(*(*again)[0]) << " " << describe(*y);
    }
  }
}

TEST_F(Movement, SliceTakesInt32AndOldAttributes) {
  TensorPtr x = floats({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  auto y = run_onnx("Slice", {}, {x, ints32({0, 1}), ints32({-1, 1000})});
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE((*y)[0]->same_as(*floats({1, 3}, {2, 3, 4})));
  RunOptions o;
  o.opset = 9;
  y = run_onnx(
      "Slice",
      {{"starts", std::vector<int64_t>{1}}, {"ends", std::vector<int64_t>{3}}, {"axes", std::vector<int64_t>{1}}}, {x},
      o);
  ASSERT_TRUE(y.ok()) << y.status().message();
  EXPECT_TRUE((*y)[0]->same_as(*floats({2, 2}, {2, 3, 6, 7})));
}

TEST_F(Movement, SliceRefusesWrongInputs) {
  TensorPtr x = ints({1, 2, 3});
  EXPECT_FALSE(run_onnx("Slice", {}, {x, ints({0}), ints({1}), ints({1})}).ok());             // axis
  EXPECT_FALSE(run_onnx("Slice", {}, {x, ints({0}), ints({1}), ints({0}), ints({0})}).ok());  // step 0
  EXPECT_FALSE(run_onnx("Slice", {}, {x, ints({0, 0}), ints({1, 1}), ints({0, 0})}).ok());    // axis twice
  EXPECT_FALSE(run_onnx("Slice", {}, {x, ints({0}), ints({1, 2})}).ok());
  EXPECT_FALSE(run_onnx("Slice", {}, {x, ints({0, 0}), ints({1, 2})}).ok());
  RunOptions o;
  o.runtime = {4};
  EXPECT_FALSE(run_onnx("Slice", {}, {x, ints({0}), ints({1}), ints({0}), ints({0})}, o).ok());
}

TEST_F(Movement, GatherPicks) {
  FOVEA_SEEDS(seed, 80) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 3, axis = rng() % rank;
    TensorPtr x = random_tensor(rng, random_type(rng), random_dims(rng, rank, 6, false));
    const Dims picks = random_dims(rng, rng() % 3, 5);
    std::vector<int64_t> index(static_cast<size_t>(*element_count(picks)));
    const int64_t size = x->dims()[axis];
    for (int64_t& i : index) i = static_cast<int64_t>(rng()) % (2 * size) - size;
    TensorPtr indices = ints_of(picks, index);
    if (rng() % 3 == 0) {
      std::vector<int32_t> narrow(index.begin(), index.end());
      indices = Tensor::of<int32_t>(picks, std::span<const int32_t>(narrow));
    }
    auto y = run_all_ways({"Gather", {{"axis", static_cast<int64_t>(axis)}}, 13, {1}}, {x, indices})[0];
    Dims dims(x->dims().begin(), x->dims().begin() + static_cast<int64_t>(axis));
    dims.insert(dims.end(), picks.begin(), picks.end());
    dims.insert(dims.end(), x->dims().begin() + static_cast<int64_t>(axis) + 1, x->dims().end());
    expect_elements(y, dims, [&](const Index& at) {
      Index from(at.begin(), at.begin() + static_cast<int64_t>(axis)),
          place(at.begin() + static_cast<int64_t>(axis), at.begin() + static_cast<int64_t>(axis + picks.size()));
      const int64_t i = index[static_cast<size_t>(flat(place, picks))];
      from.push_back(i < 0 ? i + size : i);
      from.insert(from.end(), at.begin() + static_cast<int64_t>(axis + picks.size()), at.end());
      return Numbers(x).at(from);
    });
  }
}

TEST_F(Movement, GatherRefusesIndicesOutside) {
  for (int64_t bad : {int64_t{3}, int64_t{-4}, INT64_MAX, INT64_MIN})
    for (bool hidden : {false, true}) {
      RunOptions o;
      if (hidden) o.runtime = {1};
      auto y = run_onnx("Gather", {}, {floats({3}, {1, 2, 3}), ints({0, bad})}, o);
      ASSERT_FALSE(y.ok());
      EXPECT_NE(y.status().message().find(std::to_string(bad)), std::string::npos) << y.status().message();
      EXPECT_NE(y.status().message().find("[-3, 3)"), std::string::npos) << y.status().message();
    }
}

TEST_F(Movement, GatherElementsPicks) {
  FOVEA_SEEDS(seed, 60) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 3, axis = rng() % rank;
    TensorPtr x = random_tensor(rng, random_type(rng), random_dims(rng, rank, 6, false));
    Dims dims = x->dims();
    for (int64_t& d : dims) d = 1 + static_cast<int64_t>(rng()) % d;
    dims[axis] = static_cast<int64_t>(rng() % 5);
    std::vector<int64_t> index(static_cast<size_t>(*element_count(dims)));
    const int64_t size = x->dims()[axis];
    for (int64_t& i : index) i = static_cast<int64_t>(rng()) % (2 * size) - size;
    auto y =
        run_all_ways({"GatherElements", {{"axis", static_cast<int64_t>(axis)}}, 13, {1}}, {x, ints_of(dims, index)})[0];
    expect_elements(y, dims, [&](Index at) {
      const int64_t i = index[static_cast<size_t>(flat(at, dims))];
      at[axis] = i < 0 ? i + size : i;
      return Numbers(x).at(at);
    });
  }
  EXPECT_FALSE(run_onnx("GatherElements", {}, {ints({1, 2}), ints({2})}).ok());
  EXPECT_FALSE(
      run_onnx("GatherElements", {{"axis", int64_t{1}}}, {ints_of({1, 2}, {1, 2}), ints_of({2, 1}, {0, 0})}).ok());
}

TEST_F(Movement, GatherNDPicksSlices) {
  FOVEA_SEEDS(seed, 100) {
    std::mt19937 rng(seed);
    const size_t rank = 1 + rng() % 4, batch = rng() % std::min<size_t>(rank, 3), tuple = 1 + rng() % (rank - batch);
    TensorPtr x = random_tensor(rng, random_type(rng), random_dims(rng, rank, 4, false));
    Dims places(x->dims().begin(), x->dims().begin() + static_cast<int64_t>(batch));
    for (size_t i = rng() % 3; i > 0; --i) places.push_back(static_cast<int64_t>(rng() % 4));
    Dims index_dims = places;
    index_dims.push_back(static_cast<int64_t>(tuple));
    std::vector<int64_t> index(static_cast<size_t>(*element_count(index_dims)));
    for (size_t i = 0; i < index.size(); ++i) {
      const int64_t size = x->dims()[batch + i % tuple];
      index[i] = static_cast<int64_t>(rng()) % (2 * size) - size;
    }
    auto y = run_all_ways({"GatherND", {{"batch_dims", static_cast<int64_t>(batch)}}, 13, {1}},
                          {x, ints_of(index_dims, index)})[0];
    Dims dims = places;
    dims.insert(dims.end(), x->dims().begin() + static_cast<int64_t>(batch + tuple), x->dims().end());
    expect_elements(y, dims, [&](const Index& at) {
      Index place(at.begin(), at.begin() + static_cast<int64_t>(places.size())),
          from(at.begin(), at.begin() + static_cast<int64_t>(batch));
      place.push_back(0);
      for (size_t k = 0; k < tuple; ++k) {
        place.back() = static_cast<int64_t>(k);
        const int64_t i = index[static_cast<size_t>(flat(place, index_dims))];
        from.push_back(i < 0 ? i + x->dims()[batch + k] : i);
      }
      from.insert(from.end(), at.begin() + static_cast<int64_t>(places.size()), at.end());
      return Numbers(x).at(from);
    });
  }
}

TEST_F(Movement, GatherNDRefusesWrongTuples) {
  TensorPtr x = floats({2, 2}, {0, 1, 2, 3});
  EXPECT_FALSE(run_onnx("GatherND", {}, {x, ints_of({1, 3}, {0, 0, 0})}).ok());
  EXPECT_FALSE(run_onnx("GatherND", {}, {x, ints_of({1, 2}, {0, 2})}).ok());
  EXPECT_FALSE(run_onnx("GatherND", {{"batch_dims", int64_t{1}}}, {x, ints_of({3, 1}, {0, 0, 0})}).ok());
  EXPECT_FALSE(run_onnx("GatherND", {{"batch_dims", int64_t{2}}}, {x, ints_of({2, 1}, {0, 0})}).ok());
}

TEST_F(Movement, ExpandAndTileRepeat) {
  FOVEA_SEEDS(seed, 80) {
    std::mt19937 rng(seed);
    const size_t rank = rng() % 4, extra = rng() % 2, length = rng() % 4 == 0 && rank > 0 ? rank - 1 : rank + extra;
    Dims from = random_dims(rng, rank, 5);
    for (int64_t& d : from)
      if (rng() % 2) d = 1;
    const size_t out_rank = std::max(rank, length);
    Dims dims(out_rank, 1);
    for (size_t i = 0; i < rank; ++i) dims[out_rank - rank + i] = from[i];
    std::vector<int64_t> target(length);
    for (size_t i = 0; i < length; ++i) {
      int64_t& d = dims[out_rank - length + i];
      target[i] = d == 1 ? static_cast<int64_t>(rng() % 5) : rng() % 2 ? d : 1;
      if (d == 1) d = target[i];
    }
    TensorPtr x = random_tensor(rng, random_type(rng), from);
    auto y = run_all_ways({"Expand", {}, 13, {1}}, {x, ints(target)})[0];
    expect_elements(y, dims, [&](const Index& at) {
      Index source(at.begin() + static_cast<int64_t>(out_rank - rank), at.end());
      for (size_t i = 0; i < rank; ++i)
        if (from[i] == 1) source[i] = 0;
      return Numbers(x).at(source);
    });

    std::vector<int64_t> repeats(rank);
    Dims tiled = from;
    for (size_t i = 0; i < rank; ++i) repeats[i] = static_cast<int64_t>(rng() % 4), tiled[i] *= repeats[i];
    y = run_all_ways({"Tile", {}, 13, {1}}, {x, ints(repeats)})[0];
    expect_elements(y, tiled, [&](Index at) {
      for (size_t i = 0; i < rank; ++i) at[i] %= from[i];
      return Numbers(x).at(at);
    });
  }
}

TEST_F(Movement, ExpandAndTileRefuseWrongSizes) {
  TensorPtr x = floats({2}, {1, 2});
  for (bool hidden : {false, true}) {
    RunOptions o;
    if (hidden) o.runtime = {1};
    EXPECT_FALSE(run_onnx("Expand", {}, {x, ints({3})}, o).ok());
    EXPECT_FALSE(run_onnx("Expand", {}, {Tensor::scalar<float>(1), ints({-1})}, o).ok());
    EXPECT_FALSE(run_onnx("Tile", {}, {x, ints({-1})}, o).ok());
    EXPECT_FALSE(run_onnx("Tile", {}, {x, ints({1, 1})}, o).ok());
  }
  RunOptions o;
  o.runtime = {1};
  EXPECT_FALSE(run_onnx("Tile", {}, {x, ints({INT64_MAX})}, o).ok());
}

TEST_F(Movement, SqueezeUnsqueezeFlatten) {
  TensorPtr x = floats({1, 3, 1, 2}, {1, 2, 3, 4, 5, 6});
  auto dims = [&](const std::string& op, const AttrMap& attributes, std::vector<TensorPtr> inputs, int64_t opset) {
    auto y = run_all_ways({op, attributes, opset, {1}, true}, inputs)[0];
    EXPECT_TRUE(y && std::equal(y->bytes().begin(), y->bytes().end(), x->bytes().begin(), x->bytes().end()));
    return y ? y->dims() : Dims{};
  };
  EXPECT_EQ(dims("Squeeze", {{"axes", std::vector<int64_t>{0}}}, {x}, 11), (Dims{3, 1, 2}));
  EXPECT_EQ(dims("Squeeze", {}, {x, ints({-2, 0})}, 13), (Dims{3, 2}));
  EXPECT_EQ(dims("Unsqueeze", {{"axes", std::vector<int64_t>{0, -1}}}, {x}, 11), (Dims{1, 1, 3, 1, 2, 1}));
  EXPECT_EQ(dims("Unsqueeze", {}, {x, ints({2})}, 13), (Dims{1, 3, 1, 1, 2}));
  EXPECT_EQ(dims("Flatten", {}, {x}, 13), (Dims{1, 6}));
  for (auto [axis, want] : {std::pair<int64_t, Dims>{0, {1, 6}},
                            {1, {1, 6}},
                            {2, {3, 2}},
                            {3, {3, 2}},
                            {4, {6, 1}},
                            {-1, {3, 2}},
                            {-4, {1, 6}}}) {
    auto y = run_onnx("Flatten", {{"axis", axis}}, {x});
    ASSERT_TRUE(y.ok()) << y.status().message();
    EXPECT_EQ((*y)[0]->dims(), want) << axis;
  }
  auto y = run_onnx("Squeeze", {}, {x});
  ASSERT_TRUE(y.ok());
  EXPECT_EQ((*y)[0]->dims(), (Dims{3, 2}));
  for (int64_t bad : {1, 4, -5}) EXPECT_FALSE(run_onnx("Squeeze", {}, {x, ints({bad})}).ok()) << bad;
  EXPECT_FALSE(run_onnx("Unsqueeze", {}, {x, ints({0, 0})}).ok());
  EXPECT_FALSE(run_onnx("Unsqueeze", {}, {x, ints({5})}).ok());
  EXPECT_FALSE(run_onnx("Flatten", {{"axis", int64_t{5}}}, {x}).ok());
  RunOptions o;
  o.runtime = {1};
  auto unknown = run_onnx("Unsqueeze", {}, {x, ints({0})}, o);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.status().kind(), ErrorKind::kUnsupported);
}

TEST_F(Movement, FlattenOfNothing) {
  for (int64_t axis : {0, 1, 2, 3}) {
    auto y = run_onnx("Flatten", {{"axis", axis}}, {floats({2, 0, 3}, {})});
    ASSERT_TRUE(y.ok()) << y.status().message();
    EXPECT_EQ((*y)[0]->dims(), (axis == 0 ? Dims{1, 0} : axis == 1 ? Dims{2, 0} : axis == 2 ? Dims{0, 3} : Dims{0, 1}));
  }
}

TEST_F(Movement, DepthAndSpace) {
  FOVEA_SEEDS(seed, 40) {
    std::mt19937 rng(seed);
    const int64_t n = 1 + rng() % 2, b = 1 + rng() % 3, ch = 1 + rng() % 3, h = 1 + rng() % 4, w = 1 + rng() % 4;
    const bool dcr = rng() % 2;
    const AttrMap attributes{{"blocksize", b}, {"mode", std::string(dcr ? "DCR" : "CRD")}};
    auto deep = [&](int64_t c, int64_t i, int64_t j) { return dcr ? (i * b + j) * ch + c : (c * b + i) * b + j; };
    TensorPtr x = random_tensor(rng, random_type(rng), {n, ch * b * b, h, w});
    auto y = run_onnx("DepthToSpace", attributes, {x});
    ASSERT_TRUE(y.ok()) << y.status().message();
    expect_elements((*y)[0], {n, ch, h * b, w * b}, [&](const Index& at) {
      return Numbers(x).at({at[0], deep(at[1], at[2] % b, at[3] % b), at[2] / b, at[3] / b});
    });
    auto back = run_all_ways({"SpaceToDepth", attributes, 28}, {(*y)[0]})[0];
    EXPECT_TRUE(back->same_as(*x));
  }
  EXPECT_FALSE(run_onnx("DepthToSpace", {{"blocksize", int64_t{2}}}, {floats({1, 3, 1, 1}, {1, 2, 3})}).ok());
  EXPECT_FALSE(run_onnx("SpaceToDepth", {{"blocksize", int64_t{2}}}, {floats({1, 1, 1, 3}, {1, 2, 3})}).ok());
  EXPECT_FALSE(run_onnx("SpaceToDepth", {{"blocksize", int64_t{0}}}, {floats({1, 1, 1, 3}, {1, 2, 3})}).ok());
}

TEST_F(Movement, ReverseSequence) {
  TensorPtr x = floats({4, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
  auto y = run_all_ways({"ReverseSequence", {{"batch_axis", int64_t{0}}, {"time_axis", int64_t{1}}}, 13, {1}},
                        {x, ints({1, 2, 3, 4})})[0];
  EXPECT_TRUE(y->same_as(*floats({4, 4}, {0, 1, 2, 3, 5, 4, 6, 7, 10, 9, 8, 11, 15, 14, 13, 12})));
  y = run_all_ways({"ReverseSequence", {}, 13, {1}}, {x, ints({4, 3, 2, 1})})[0];
  EXPECT_TRUE(y->same_as(*floats({4, 4}, {12, 9, 6, 3, 8, 5, 2, 7, 4, 1, 10, 11, 0, 13, 14, 15})));
  EXPECT_FALSE(run_onnx("ReverseSequence", {}, {x, ints({5, 1, 1, 1})}).ok());
  EXPECT_FALSE(run_onnx("ReverseSequence", {}, {x, ints({-1, 1, 1, 1})}).ok());
  EXPECT_FALSE(run_onnx("ReverseSequence", {}, {x, ints({1})}).ok());
}

TEST_F(Movement, CompressKeeps) {
  TensorPtr x = floats({3, 2}, {1, 2, 3, 4, 5, 6});
  const TensorPtr keep = Tensor::of<bool>({3}, {false, true, true});
  auto y = run_all_ways({"Compress", {{"axis", int64_t{0}}}, 11, {1}}, {x, keep})[0];
  EXPECT_TRUE(y->same_as(*floats({2, 2}, {3, 4, 5, 6})));
  y = run_all_ways({"Compress", {{"axis", int64_t{-1}}}, 11, {1}}, {x, Tensor::of<bool>({2}, {false, true})})[0];
  EXPECT_TRUE(y->same_as(*floats({3, 1}, {2, 4, 6})));
  y = run_all_ways({"Compress", {}, 11, {1}}, {x, Tensor::of<bool>({5}, {false, true, false, false, true})})[0];
  EXPECT_TRUE(y->same_as(*floats({2}, {2, 5})));
  y = run_all_ways({"Compress", {}, 11, {1}}, {x, Tensor::of<bool>({2}, {false, false})})[0];
  EXPECT_EQ(y->dims(), (Dims{0}));
  for (bool hidden : {false, true}) {
    RunOptions o;
    if (hidden) o.runtime = {1};
    EXPECT_FALSE(
        run_onnx("Compress", {{"axis", int64_t{0}}}, {x, Tensor::of<bool>({4}, {false, false, false, true})}, o).ok());
  }
}

TEST_F(Movement, SmallTypesMove) {
  std::mt19937 rng(5);
  for (DType type :
       {DType::kInt4, DType::kUInt2, DType::kFloat8E4M3FN, DType::kFloat4E2M1, DType::kComplex64, DType::kComplex128}) {
    TensorPtr x = random_tensor(rng, type, {3, 5});
    auto y = run_onnx("Transpose", {}, {x});
    ASSERT_TRUE(y.ok()) << y.status().message();
    auto back = run_onnx("Transpose", {}, {(*y)[0]});
    ASSERT_TRUE(back.ok());
    // The spare bits of the last byte are not part of the tensor.
    auto bytes = x->bytes(), again = (*back)[0]->bytes();
    const bool spare = x->count() * dtype_bits(type) % 8 != 0;
    ASSERT_EQ(bytes.size(), again.size());
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end() - spare, again.begin())) << to_string(type);
    EXPECT_TRUE(run_onnx("Gather", {}, {x, ints({2, 0})}).ok());
    EXPECT_TRUE(run_onnx("Tile", {}, {x, ints({2, 1})}).ok());
    EXPECT_TRUE(run_onnx("Slice", {}, {x, ints({2}), ints({-4}), ints({1}), ints({-1})}).ok());
  }
}

TEST_F(Movement, StringsAreRefusedByName) {
  TensorPtr x = Tensor::strings({2}, {"a", "b"});
  auto y = run_onnx("Gather", {}, {x, ints({0})});
  ASSERT_FALSE(y.ok());
  EXPECT_EQ(y.status().kind(), ErrorKind::kUnsupported);
  EXPECT_NE(y.status().message().find("Gather 'test'"), std::string::npos) << y.status().message();
}

}  // namespace
}  // namespace fovea::core::test
