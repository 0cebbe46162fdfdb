// For the tests of operators that move elements: a result is compared element by element with a rule written out from
// the operator's definition, and an operator is run every way it can be met.
#pragma once

#include <gtest/gtest.h>

#include "kernels/reference/testing.h"

namespace fovea::core::test {

using Index = std::vector<int64_t>;

inline int64_t flat(const Index& at, const Dims& dims) {
  int64_t i = 0;
  for (size_t d = 0; d < dims.size(); ++d) i = i * dims[d] + at[d];
  return i;
}

// A tensor's numbers, by index.
struct Numbers {
  Dims dims;
  std::vector<double> values;
  explicit Numbers(const TensorPtr& t) : dims(t->dims()), values(t->to_doubles()) {}
  double at(const Index& i) const { return values.at(static_cast<size_t>(flat(i, dims))); }
};

template <typename F>  // f(index) for each index of dims
void each_index(const Dims& dims, F f) {
  Index at(dims.size());
  int64_t count = 1;
  for (int64_t d : dims) count *= d;
  for (int64_t i = 0; i < count; ++i) {
    f(at);
    for (size_t d = dims.size(); d-- > 0;) {
      if (++at[d] < dims[d]) break;
      at[d] = 0;
    }
  }
}

template <typename F>
void expect_elements(const TensorPtr& result, const Dims& dims, F rule) {
  ASSERT_TRUE(result);
  ASSERT_EQ(result->dims(), dims);
  const Numbers found(result);
  each_index(dims, [&](const Index& at) {
    const double want = rule(at), is = found.at(at);
    EXPECT_TRUE(is == want || (std::isnan(is) && std::isnan(want)))
        << "element " << flat(at, dims) << " is " << is << ", not " << want << " in " << describe(*result);
  });
}

inline TensorPtr ints(std::vector<int64_t> v) {
  return Tensor::of<int64_t>({static_cast<int64_t>(v.size())}, std::span<const int64_t>(v));
}
inline TensorPtr ints32(std::vector<int32_t> v) {
  return Tensor::of<int32_t>({static_cast<int64_t>(v.size())}, std::span<const int32_t>(v));
}
inline TensorPtr floats(Dims dims, std::vector<float> v) {
  return Tensor::of<float>(std::move(dims), std::span<const float>(v));
}
inline TensorPtr ints_of(Dims dims, std::vector<int64_t> v) {
  return Tensor::of<int64_t>(std::move(dims), std::span<const int64_t>(v));
}

inline Dims random_dims(std::mt19937& rng, size_t rank, int64_t most, bool zeros = true) {
  Dims d;
  for (size_t i = 0; i < rank; ++i) d.push_back(static_cast<int64_t>(rng()) % most + 1);
  if (zeros && rank > 0 && rng() % 12 == 0) d[rng() % rank] = 0;
  return d;
}

// The ways: constants; gaps in memory and several threads; symbolic sizes of the inputs in `data`; the other inputs'
// elements unknown to inference; the same as symbols (inputs of int64). All must give the same; what the first gives is
// returned.
struct Ways {
  std::string op;
  AttrMap attributes;
  int64_t opset = 21;
  std::vector<size_t> index_inputs = {};  // whose elements inference may read
  bool index_constant = false;            // they have to be constants in any graph
  int outputs = 1;
};
inline std::vector<TensorPtr> run_all_ways(const Ways& w, const std::vector<TensorPtr>& inputs) {
  RunOptions plain;
  plain.opset = w.opset, plain.outputs = w.outputs;
  auto first = run_onnx(w.op, w.attributes, inputs, plain);
  EXPECT_TRUE(first.ok()) << w.op << ": " << first.status().message();
  if (!first.ok()) return std::vector<TensorPtr>(static_cast<size_t>(w.outputs));
  auto same = [&](const RunOptions& options, const char* way) {
    auto again = run_onnx(w.op, w.attributes, inputs, options);
    EXPECT_TRUE(again.ok()) << w.op << ", " << way << ": " << again.status().message();
    if (!again.ok()) return;
    for (size_t i = 0; i < first->size(); ++i)
      EXPECT_TRUE((*first)[i]->same_as(*(*again)[i])) << w.op << ", " << way << ": output " << i << " is "
                                                      << describe(*(*again)[i]) << ", not " << describe(*(*first)[i]);
  };
  RunOptions o = plain;
  o.strided = true, o.threads = 3;
  same(o, "strided");
  o = plain;
  o.symbolic_shapes = true, o.constants = w.index_inputs;
  same(o, "symbolic sizes");
  if (w.index_inputs.empty() || w.index_constant) return *first;
  o = plain;
  o.runtime = w.index_inputs;
  same(o, "unknown elements");
  o = plain;
  for (size_t i : w.index_inputs)
    if (i < inputs.size() && inputs[i] && inputs[i]->dtype() == DType::kInt64) o.symbolic.push_back(i);
  o.constants = w.index_inputs;
  same(o, "symbolic elements");
  o.symbolic_shapes = true;
  same(o, "symbolic sizes and elements");
  return *first;
}

inline const std::vector<DType> kMoved{DType::kFloat32, DType::kInt8,   DType::kFloat16, DType::kInt64,
                                       DType::kBool,    DType::kUInt16, DType::kFloat64};
inline DType random_type(std::mt19937& rng) { return kMoved[rng() % kMoved.size()]; }
// Seeds of a random test; a failure prints the seed.
#define FOVEA_SEEDS(seed, count)                                                                                 \
  for (uint32_t seed = 0; seed < (count) && !HasFailure(); ++seed)                                               \
    for (::testing::ScopedTrace trace(__FILE__, __LINE__, "seed " + std::to_string(seed)), *once = &trace; once; \
         once = nullptr)

}  // namespace fovea::core::test
