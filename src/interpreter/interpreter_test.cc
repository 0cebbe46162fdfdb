#include "interpreter/interpreter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/infer.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// x [n] -> r = Relu(x) -> y = r + r; k = NonZero(r)
struct Small {
  Graph g;
  Value *x, *r, *y, *k;
  Small() {
    x = g.add_input("x", DType::kFloat32, {Dim(g.declare_symbol({"n", 1, 100, false}))});
    r = node(op_Relu, {x});
    y = node(op_Add, {r, r});
    k = node(op_NonZero, {r});
    g.outputs = {y, k};
    g.output_names = {"y", "k"};
    EXPECT_TRUE(infer_graph(g).ok());
  }
  Value* node(const OpDef& op, std::vector<Value*> inputs) {
    return g.add_node(&op.info, nullptr, std::move(inputs))->output();
  }
};

TEST(Evaluate, AGraph) {
  Small s;
  const std::vector<TensorPtr> in = {Tensor::of<float>({4}, {-1, 2, 0, 3})};
  auto r = evaluate_graph(s.g, in);
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_THAT(r->outputs[0]->as<float>(), ElementsAre(0, 4, 0, 6));
  EXPECT_THAT(r->outputs[1]->dims(), ElementsAre(1, 2));
  EXPECT_THAT(r->outputs[1]->as<int64_t>(), ElementsAre(1, 3));
  EXPECT_TRUE(r->values.empty());
}

TEST(Evaluate, AllValuesCanBeKept) {
  Small s;
  const std::vector<TensorPtr> in = {Tensor::of<float>({2}, {-1, 2})};
  GraphOptions options;
  options.keep_all = true;
  std::vector<std::string> seen;
  options.observer = [&](const Node& n, std::span<const TensorPtr> out) {
    seen.push_back(std::string(n.op->name) + fmt::format("[{}]", fmt::join(out[0]->dims(), ",")));
    return Status();
  };
  auto r = evaluate_graph(s.g, in, options);
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_THAT(seen, ElementsAre("Relu[2]", "Add[2]", "NonZero[1,1]"));
  EXPECT_EQ(r->values.size(), 4u);
  EXPECT_EQ(r->values.at(s.x), in[0]);
  EXPECT_THAT(r->values.at(s.r)->as<float>(), ElementsAre(0, 2));
  options.observer = [](const Node& n, auto) { return n.is("Add") ? invalid_argument("stop") : Status(); };
  EXPECT_FALSE(evaluate_graph(s.g, in, options).ok());
}

TEST(Evaluate, InputsAreChecked) {
  Small s;
  auto error = [&](std::vector<TensorPtr> in, const std::string& what) {
    auto r = evaluate_graph(s.g, in);
    ASSERT_FALSE(r.ok()) << what;
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidArgument);
    EXPECT_THAT(r.status().message(), HasSubstr(what));
  };
  error({}, "expected 1 inputs, found 0");
  error({nullptr}, "input 'x' is missing");
  error({Tensor::of<int64_t>({1}, {1})}, "input 'x': expected float32, found int64");
  error({Tensor::of<float>({1, 1}, {1})}, "input 'x': expected shape [n], found [1,1]");
  Value* same = s.g.add_input("same", DType::kFloat32, {s.x->shape[0]});
  ASSERT_TRUE(same);
  error({Tensor::of<float>({1}, {1}), Tensor::of<float>({2}, {1, 2})}, "input 'same': expected shape [n], found [2]");
}

TEST(Evaluate, MemoryIsLimited) {
  Small s;
  const std::vector<TensorPtr> in = {*Tensor::copy(DType::kFloat32, {100}, std::vector<std::byte>(400))};
  GraphOptions options;
  options.max_bytes = 1000;
  EXPECT_TRUE(evaluate_graph(s.g, in, options).ok());
  options.max_bytes = 700;  // r and y are 400 bytes each
  auto r = evaluate_graph(s.g, in, options);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(r.status().message(),
              HasSubstr("output 0 of float32 [100] needs more memory than the 300 bytes allowed"));
}

TEST(Evaluate, ANodeWithSizesThatDataDecides) {
  Small s;
  // More elements than inference looks at, so that the count comes from the run.
  std::vector<float> x(5000);
  for (size_t i = 0; i < x.size(); i += 1000) x[i] = 1;
  const std::vector<TensorPtr> in = {Tensor::of<float>({5000}, std::span<const float>(x))};
  auto r = evaluate_node(*s.k->producer, in);
  ASSERT_TRUE(r.ok()) << r.status().message();
  EXPECT_THAT((*r)[0]->as<int64_t>(), ElementsAre(0, 1000, 2000, 3000, 4000));
  const std::vector<TensorPtr> none = {Tensor::of<float>({0}, {})};
  EXPECT_THAT((*evaluate_node(*s.k->producer, none))[0]->dims(), ElementsAre(1, 0));
}

TEST(Evaluate, ErrorsNameTheNode) {
  Small s;
  s.y->producer->origin = {"/head/Add"};
  const std::vector<TensorPtr> in = {Tensor::of<float>({2}, {1, 2}), Tensor::of<float>({3}, {1, 2, 3})};
  auto r = evaluate_node(*s.y->producer, in);
  ASSERT_FALSE(r.ok());
  EXPECT_THAT(r.status().message(), HasSubstr("Add '/head/Add'"));
}

}  // namespace
}  // namespace fovea::core
