#include "ir/infer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/test_ops.h"

namespace fovea::core {
namespace {

SymbolPtr symbol(std::string name, int64_t lo, int64_t hi) {
  return std::make_shared<const Symbol>(Symbol{std::move(name), lo, hi});
}

TEST(Infer, BroadcastDims) {
  const Dim n(symbol("n", 1, 9)), m(symbol("m", 2, 9)), k(symbol("k", 0, 9)), p(symbol("p", 2, 9));
  auto dim = [](const Dim& a, const Dim& b) {
    auto r = broadcast_dim(a, b);
    EXPECT_TRUE(r.ok());
    return r.ok() ? *r : Dim(-1);
  };
  EXPECT_EQ(dim(1, n), n);
  EXPECT_EQ(dim(n, 1), n);
  EXPECT_EQ(dim(n, n), n);
  EXPECT_EQ(dim(n, 4), Dim(4));
  EXPECT_EQ(dim(4, n), Dim(4));
  EXPECT_EQ(dim(n, m), m);
  EXPECT_EQ(dim(m, p), m);
  EXPECT_FALSE(broadcast_dim(3, 4).ok());
  // Neither is surely not 1: right for every legal binding, the empty one among them.
  const Dim either = dim(n, k);
  for (auto [nn, kk, want] : {std::tuple(1, 5, 5), {5, 1, 5}, {1, 0, 0}, {3, 3, 3}}) {
    auto v = evaluate(either,
                      [&, a = nn, b = kk](const Symbol& s) { return std::optional<int64_t>(s.name == "n" ? a : b); });
    ASSERT_TRUE(v.ok());
    EXPECT_EQ(*v, want) << nn << " with " << kk;
  }
}

TEST(Infer, BroadcastShapes) {
  const Dim n(symbol("n", 1, 9));
  const Shape shapes[] = {{n, 1, 4}, {3, 1}, {}};
  auto r = broadcast_shapes(shapes);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(to_string(*r), "[n,3,4]");
  const Shape bad[] = {{2, 3}, {4, 3}};
  EXPECT_FALSE(broadcast_shapes(bad).ok());
  EXPECT_THAT(broadcast_shapes(bad).status().message(), testing::HasSubstr("[4,3]"));
}

TEST(Infer, KnownElementsOfConstants) {
  auto ints = known_of(*Tensor::of<int32_t>({2}, {-1, 7}));
  ASSERT_TRUE(ints);
  EXPECT_EQ((*ints)[0], Expr(-1));  // widened
  auto floats = known_of(*Tensor::of<float>({1}, {0.1f}));
  ASSERT_TRUE(floats);
  EXPECT_EQ((*floats)[0]->dtype(), DType::kFloat32);
  EXPECT_EQ((*floats)[0]->float_value(), static_cast<double>(0.1f));
  EXPECT_FALSE(known_of(**Tensor::allocate(DType::kInt64, {kMaxSymElements + 1})));
  EXPECT_FALSE(known_of(*Tensor::of<uint8_t>({1}, {1})));
}

TEST(Infer, ADataDependentSizeKeepsItsSymbolAndGoesWhenKnown) {
  Graph g;
  Value* x = g.add_input("x", DType::kFloat32, {Dim(g.declare_symbol({"n", 1, 16})), 4});
  Node* node = g.add_node(&test::kNonZero, nullptr, {x});
  ASSERT_TRUE(infer_node(g, *node).ok());
  ASSERT_EQ(node->sizes.size(), 1u);
  const std::string name = node->sizes[0].symbol->name;
  EXPECT_EQ(node->sizes[0].bound.str(), "4*n");
  EXPECT_EQ(node->sizes[0].symbol->hi, 64);
  ASSERT_TRUE(infer_node(g, *node).ok());
  ASSERT_EQ(node->sizes.size(), 1u);
  EXPECT_EQ(node->sizes[0].symbol->name, name);
  x->shape = {3, 4};
  ASSERT_TRUE(infer_node(g, *node).ok());
  EXPECT_EQ(node->sizes[0].symbol->name, name);
  EXPECT_EQ(node->sizes[0].symbol->hi, 12);
  x->shape = {0, 4};
  ASSERT_TRUE(infer_node(g, *node).ok());
  EXPECT_TRUE(node->sizes.empty());
  EXPECT_EQ(to_string(node->output()->shape), "[2,0]");
}

TEST(Infer, ErrorsNameTheNode) {
  Graph g;
  Value *x = g.add_input("x", DType::kFloat32, {2}), *y = g.add_input("y", DType::kInt64, {2});
  Node* node = g.add_node(&test::kBinary, nullptr, {x, y});
  node->origin = {"Add_7"};
  Status s = infer_node(g, *node);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.message(), "Binary 'Add_7': input 1 'y': expected float32, found int64");
}

}  // namespace
}  // namespace fovea::core
