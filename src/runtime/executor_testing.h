// What the tests of this folder share: a graph from its text, its plans and an executor beside the interpreter.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "ir/parse.h"
#include "ops/op.h"
#include "runtime/executor.h"
#include "runtime/planned_graph.h"

namespace fovea::core {

inline std::unique_ptr<Graph> parsed(const std::string& text) {
  auto g = parse(text, find_op);
  EXPECT_TRUE(g.ok()) << g.status().message() << "\n" << text;
  return g.ok() ? *std::move(g) : std::make_unique<Graph>();
}

inline TensorPtr random_tensor(DType type, const Dims& dims, std::mt19937& rng) {
  auto t = Tensor::allocate(type, dims);
  EXPECT_TRUE(t.ok());
  std::normal_distribution<float> normal;
  std::byte* data = (*t)->mutable_data();
  for (int64_t i = 0; i < (*t)->count(); ++i) {
    if (type == DType::kFloat32) reinterpret_cast<float*>(data)[i] = normal(rng);
    else if (type == DType::kInt64) reinterpret_cast<int64_t*>(data)[i] = static_cast<int64_t>(rng() % 4);
    else if (type == DType::kBool) data[i] = std::byte(rng() % 2);
    else ADD_FAILURE() << "no random " << to_string(type);
  }
  return *t;
}

// 1e-5 of the output's root mean square for each operator on the way (docs/architecture.md); integers exactly.
inline void expect_same(const TensorRef& found, const Tensor& want, int64_t operators, const std::string& where) {
  ASSERT_EQ(found.dtype, want.dtype()) << where;
  ASSERT_EQ(Dims(found.shape().begin(), found.shape().end()), want.dims()) << where;
  ASSERT_TRUE(want.count() == 0 || found.dense()) << where;
  if (want.count() == 0) return;
  if (want.dtype() != DType::kFloat32) {
    EXPECT_EQ(std::memcmp(found.data, want.bytes().data(), want.bytes().size()), 0) << where;
    return;
  }
  double squares = 0;
  for (float v : want.as<float>()) squares += static_cast<double>(v) * v;
  const double tolerance =
      1e-5 * static_cast<double>(operators) * std::sqrt(squares / static_cast<double>(want.count())) + 1e-30;
  for (int64_t i = 0; i < want.count(); ++i) {
    const float a = found.as<float>()[i], b = want.as<float>()[static_cast<size_t>(i)];
    ASSERT_LE(std::fabs(static_cast<double>(a) - b), tolerance)
        << where << ", element " << i << ": " << a << " for " << b;
  }
}

using Shapes = std::vector<std::vector<int64_t>>;

// A parsed graph with its plans, and one executor.
struct Rig {
  std::unique_ptr<Graph> graph;
  std::vector<std::string> log;
  std::unique_ptr<PlannedGraph> planned;
  Executor executor;
  std::mt19937 rng{20240607};

  explicit Rig(const std::string& text, CacheLimits limits = {}) : graph(parsed(text)) {
    planned = std::make_unique<PlannedGraph>(*graph, std::vector<Recipe>{}, TimingCache{}, limits,
                                             [this](LogLevel, std::string_view line) { log.emplace_back(line); });
  }

  Shapes shapes_of(std::span<const TensorPtr> inputs) {
    Shapes shapes;
    for (const TensorPtr& t : inputs) shapes.push_back(t->dims());
    return shapes;
  }
  std::vector<TensorPtr> random_inputs(const Shapes& shapes) {
    std::vector<TensorPtr> inputs;
    for (size_t i = 0; i < shapes.size(); ++i) inputs.push_back(random_tensor(graph->inputs[i]->dtype, shapes[i], rng));
    return inputs;
  }
  static std::vector<TensorRef> refs(std::span<const TensorPtr> inputs) {
    std::vector<TensorRef> out;
    for (const TensorPtr& t : inputs) out.push_back(TensorRef::of(*t));
    return out;
  }
  Result<std::vector<TensorRef>> run(std::span<const TensorPtr> inputs, int threads = 1) {
    FOVEA_TRY_SET(auto spec, planned->specialise(shapes_of(inputs), threads));
    FOVEA_TRY(executor.bind(spec));
    std::vector<TensorRef> outputs(graph->outputs.size());
    FOVEA_TRY(executor.run(refs(inputs), outputs));
    return outputs;
  }
  // Against the interpreter (executor_test.cc).
  void check(std::span<const TensorPtr> inputs, const std::string& what = "");
  void check_shapes(const Shapes& shapes) {
    for (int again = 0; again < 2; ++again) check(random_inputs(shapes));
  }
  std::string shapes_text(std::span<const TensorPtr> inputs) {
    std::string s;
    for (const TensorPtr& t : inputs) s += fmt::format("[{}]", fmt::join(t->dims(), ","));
    return s;
  }
  const Plan& plan() { return executor.specialisation()->plan(); }
};

inline constexpr const char* kTrunk = R"(symbols(n in [1,64])
graph @main(%x: float32[n,3,16,16]) -> (y = %y, p = %prob, head = %flat) {
  %w1 = constant float32[16,3,3,3] random(1)
  %b1 = constant float32[16] random(2)
  %c1 = Conv(%x, %w1, %b1) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "conv1"
  %r1 = Relu(%c1) from "relu1"
  %w2 = constant float32[16,16,3,3] random(3)
  %c2 = Conv(%r1, %w2) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "conv2"
  %s = Add(%c2, %r1) from "residual"
  %r2 = Relu(%s) from "relu2"
  %again = Add(%r2, %r1) from "residual still needed"
  %pool = MaxPool(%again) {kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], dilations=[1, 1]} from "pool"
  %w3 = constant float32[12,16,1,1] random(4)
  %y = Conv(%pool, %w3) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]} from "head"
  %t = Transpose(%y) {perm=[0, 2, 3, 1]}
  %to = constant int64[3] {0, -1, 4}
  %flat = Reshape(%t, %to)
  %to2 = constant int64[3] {0, -1, 4}
  %pt = Transpose(%pool) {perm=[0, 2, 3, 1]}
  %pf = Reshape(%pt, %to2)
  %both = Concat(%flat, %pf) {axis=1}
  %prob = Softmax(%both) {axis=2}
})";

}  // namespace fovea::core
