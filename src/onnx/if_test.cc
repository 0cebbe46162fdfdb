// If as it is exported: scopes, captures, nesting, branches that disagree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "interpreter/interpreter.h"
#include "ir/verify.h"
#include "onnx/testing.h"

namespace fovea::core {
namespace {

using onnx::GraphProto;
using onnx::TensorProto;
using test::add_node;
using testing::ElementsAre;
using testing::HasSubstr;

GraphProto branch(std::initializer_list<test::NodeSpec> nodes, const std::string& output) {
  GraphProto g;
  g.set_name(output + "_branch");
  for (const auto& n : nodes) add_node(g, n);
  test::add_output(g, output);
  return g;
}

void add_if(GraphProto& g, const std::string& condition, const std::string& output, const GraphProto& yes,
            const GraphProto& no) {
  auto* n = add_node(g, {"If", {condition}, {output}, "the_if"});
  *test::add_attribute(n, "then_branch", onnx::AttributeProto::GRAPH)->mutable_g() = yes;
  *test::add_attribute(n, "else_branch", onnx::AttributeProto::GRAPH)->mutable_g() = no;
}

// c, x -> y
onnx::ModelProto model(const GraphProto& yes, const GraphProto& no, std::vector<test::Size> sizes = {2}) {
  auto m = test::empty_model();
  test::add_input(*m.mutable_graph(), "c", {}, TensorProto::BOOL);
  test::add_input(*m.mutable_graph(), "x", std::move(sizes));
  add_node(*m.mutable_graph(), {"Relu", {"x"}, {"r"}});
  add_if(*m.mutable_graph(), "c", "y", yes, no);
  test::add_output(*m.mutable_graph(), "y");
  return m;
}

std::vector<float> evaluate(const Graph& g, bool condition, std::vector<float> x) {
  const auto size = static_cast<int64_t>(x.size());
  std::vector<TensorPtr> inputs = {Tensor::scalar(condition), Tensor::of<float>({size}, std::span<const float>(x))};
  auto r = evaluate_graph(g, inputs);
  EXPECT_TRUE(r.ok()) << r.status().message();
  if (!r.ok()) return {};
  auto y = r->outputs[0]->as<float>();
  return {y.begin(), y.end()};
}

TEST(If, BranchesCaptureWhatTheyRead) {
  auto m = model(branch({{"Add", {"x", "r"}, {"a"}}}, "a"), branch({{"Relu", {"r"}, {"b"}}}, "b"));
  auto g = test::read(m);
  ASSERT_TRUE(g.ok()) << g.status().message();
  const Status verified = verify(**g);
  EXPECT_TRUE(verified.ok()) << verified.message();
  const Node& node = *(*g)->nodes().back();
  EXPECT_EQ(node.own_inputs, 1);
  EXPECT_EQ(node.inputs.size(), 3u);  // condition, x, r
  EXPECT_EQ(node.origin, Origin{"the_if"});
  EXPECT_EQ(to_string((*g)->outputs[0]->shape), "[2]");
  EXPECT_THAT(evaluate(**g, true, {-1, 2}), ElementsAre(-1, 4));
  EXPECT_THAT(evaluate(**g, false, {-1, 2}), ElementsAre(0, 2));
}

TEST(If, AnOuterValueCanBeTheOutput) {
  auto g = test::read(model(branch({}, "x"), branch({}, "r")));
  ASSERT_TRUE(g.ok()) << g.status().message();
  EXPECT_TRUE(verify(**g).ok());
  EXPECT_THAT(evaluate(**g, true, {-1, 2}), ElementsAre(-1, 2));
  EXPECT_THAT(evaluate(**g, false, {-1, 2}), ElementsAre(0, 2));
}

TEST(If, Nested) {
  GraphProto inner;
  inner.set_name("inner");
  add_node(inner, {"Relu", {"x"}, {"local"}});
  add_if(inner, "c", "z", branch({{"Add", {"local", "r"}, {"p"}}}, "p"), branch({{"Add", {"x", "x"}, {"q"}}}, "q"));
  test::add_output(inner, "z");
  auto g = test::read(model(inner, branch({{"Relu", {"r"}, {"b"}}}, "b")));
  ASSERT_TRUE(g.ok()) << g.status().message();
  const Status verified = verify(**g);
  EXPECT_TRUE(verified.ok()) << verified.message();
  EXPECT_THAT(evaluate(**g, true, {-1, 2}), ElementsAre(0, 4));
  EXPECT_TRUE(verify(*(*g)->clone()).ok());
}

TEST(If, SizesThatDifferAreLeftToTheRun) {
  auto yes = branch({{"Reshape", {"x", "shape"}, {"a"}}}, "a");
  auto* shape = test::add_initializer(yes, "shape", {2}, TensorProto::INT64);
  shape->add_int64_data(3), shape->add_int64_data(2);
  auto no = branch({{"NonZero", {"x"}, {"nz"}}, {"Cast", {"nz"}, {"b"}}}, "b");
  auto* to = test::add_attribute(no.mutable_node(1), "to", onnx::AttributeProto::INT);
  to->set_i(TensorProto::FLOAT);
  auto g = test::read(model(yes, no, {6}));
  ASSERT_TRUE(g.ok()) << g.status().message();
  const Shape& y = (*g)->outputs[0]->shape;
  ASSERT_EQ(y.size(), 2u);
  EXPECT_EQ(y[0].lo(), 1);
  EXPECT_EQ(y[0].hi(), 3);
  EXPECT_EQ(y[1].lo(), 0);
  EXPECT_EQ(y[1].hi(), 6);
  EXPECT_TRUE(y[1].data_dependent());
  const Status verified = verify(**g);
  EXPECT_TRUE(verified.ok()) << verified.message();
  EXPECT_THAT(evaluate(**g, false, {0, 1, 0, 0, 5, 0}), ElementsAre(1, 4));
}

TEST(If, AKnownConditionLeavesOneBranch) {
  auto m = model(branch({{"Add", {"x", "r"}, {"a"}}}, "a"), branch({{"Reshape", {"x", "absent"}, {"b"}}}, "b"));
  m.mutable_graph()->mutable_input()->DeleteSubrange(0, 1);
  auto* c = test::add_initializer(*m.mutable_graph(), "c", {}, TensorProto::BOOL);
  c->add_int32_data(1);
  test::add_initializer(*m.mutable_graph(), "absent", {0}, TensorProto::INT64);
  auto g = test::read(m);
  ASSERT_TRUE(g.ok()) << g.status().message();
  EXPECT_TRUE(verify(**g).ok());
  for (const auto& n : (*g)->nodes()) EXPECT_FALSE(n->is("If"));
  EXPECT_EQ((*g)->outputs[0]->producer->op->name, "Add");
}

TEST(If, WhatIsRefused) {
  auto error = [](const onnx::ModelProto& m, ErrorKind kind, const std::string& what) {
    auto g = test::read(m);
    ASSERT_FALSE(g.ok()) << what;
    EXPECT_EQ(g.status().kind(), kind) << g.status().message();
    EXPECT_THAT(g.status().message(), HasSubstr(what));
  };
  const auto relu = branch({{"Relu", {"x"}, {"a"}}}, "a");
  error(model(relu, branch({{"NonZero", {"x"}, {"b"}}}, "b")), ErrorKind::kInvalidModel,
        "output 0: the branches give float32 and int64");
  error(model(relu,
              branch({{"Reshape", {"x", "s"}, {"b"}},
                      {"Shape", {"d"}, {"s"}},
                      {"Reshape", {"x", "t"}, {"d"}},
                      {"Shape", {"c"}, {"t"}}},
                     "b"),
              {1}),
        ErrorKind::kUnsupported, "rank must be static");
  error(model(relu, branch({{"Relu", {"nowhere"}, {"b"}}}, "b")), ErrorKind::kInvalidModel, "reads 'nowhere'");
  error(model(relu, branch({}, "nothing")), ErrorKind::kInvalidModel, "'nothing'");
  auto missing = model(relu, relu);
  missing.mutable_graph()->mutable_node(1)->mutable_attribute()->RemoveLast();
  error(missing, ErrorKind::kInvalidModel, "expected an attribute 'else_branch', found none");
  auto inputs = relu;
  test::add_input(inputs, "own", {1});
  error(model(inputs, relu), ErrorKind::kUnsupported, "a subgraph with inputs of its own");
}

}  // namespace
}  // namespace fovea::core
