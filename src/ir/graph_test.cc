#include "ir/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/parse.h"
#include "ir/test_ops.h"
#include "ir/text.h"
#include "ir/verify.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;

std::unique_ptr<Graph> parsed(std::string_view text) {
  auto g = parse(text, test::find);
  EXPECT_TRUE(g.ok()) << g.status().message();
  return g.ok() ? *std::move(g) : nullptr;
}

constexpr std::string_view kDiamond = R"(symbols(n in [1,16])
graph @main(%x: float32[n,4], %c: bool[]) -> (y = %d, z = %d, w = %r) {
  %k = constant float32[4] {1.0, 2.0, 3.0, 4.0}
  %a = Unary(%x)
  %b = Binary(%a, %k)
  %d = Binary(%b, %b)
  %nz = NonZero(%d)
  %r = If(%c; %d, %k)
    region @then(%p: float32[n,4], %q: float32[4]) -> (%s) {
      %s = Binary(%p, %q)
    }
    region @else(%p: float32[n,4], %q: float32[4]) -> (%p) {
    }
}
)";

void expect_valid(const Graph& g) {
  Status s = verify(g);
  EXPECT_TRUE(s.ok()) << s.message();
}
std::string broken(const Graph& g) {
  Status s = verify(g);
  EXPECT_FALSE(s.ok());
  if (s.ok()) return "";
  EXPECT_EQ(s.kind(), ErrorKind::kInternal);
  return s.message();
}

TEST(Graph, UsesAreKept) {
  auto g = parsed(kDiamond);
  ASSERT_TRUE(g);
  expect_valid(*g);
  Value *a = g->find("a"), *b = g->find("b"), *k = g->find("k"), *d = g->find("d");
  EXPECT_EQ(b->uses.size(), 2u);
  EXPECT_EQ(k->uses.size(), 2u);
  EXPECT_TRUE(g->is_output(d));
  g->replace_uses(b, a);
  EXPECT_TRUE(b->uses.empty());
  EXPECT_EQ(a->uses.size(), 3u);
  EXPECT_FALSE(g->used(b));
  g->erase_node(b->producer);
  EXPECT_EQ(g->find("b"), nullptr);
  EXPECT_EQ(k->uses.size(), 1u);
  expect_valid(*g);
  g->replace_uses(d, a);  // both outputs follow
  EXPECT_EQ(g->outputs[0], a);
  EXPECT_EQ(g->outputs[1], a);
  expect_valid(*g);
}

TEST(Graph, InputsOfNodesComeAndGo) {
  auto g = parsed(kDiamond);
  ASSERT_TRUE(g);
  Node* d = g->find("d")->producer;
  Value *a = g->find("a"), *b = g->find("b"), *x = g->find("x");
  g->remove_node_input(d, 0);
  EXPECT_EQ(d->inputs, std::vector<Value*>{b});
  EXPECT_EQ(b->uses.size(), 1u);
  EXPECT_EQ(b->uses[0].index, 0);
  g->add_node_input(d, a);
  g->add_node_input(d, nullptr);
  g->set_input(d, 2, x);
  g->remove_node_input(d, 1);
  EXPECT_EQ(d->inputs, (std::vector<Value*>{b, x}));
  expect_valid(*g);
}

TEST(Graph, CloneIsTheSameAndApart) {
  auto g = parsed(kDiamond);
  ASSERT_TRUE(g);
  const std::string text = print(*g, {.full = true});
  auto copy = g->clone();
  expect_valid(*copy);
  EXPECT_EQ(print(*copy, {.full = true}), text);
  EXPECT_EQ(copy->find("k")->constant, g->find("k")->constant);  // shared
  g->erase_node(g->find("nz")->producer);
  g->rename(g->find("a"), "renamed");
  EXPECT_EQ(print(*copy, {.full = true}), text);
  copy.reset();
  expect_valid(*g);
}

TEST(Graph, NamesAreUnique) {
  Graph g;
  Value *a = g.add_input("x", DType::kFloat32, {}), *b = g.add_input("x", DType::kFloat32, {}),
        *c = g.add_input("", DType::kFloat32, {});
  EXPECT_EQ(a->name, "x");
  EXPECT_EQ(b->name, "x.1");
  EXPECT_NE(c->name, "");
  g.rename(b, "x");
  EXPECT_NE(b->name, "x");
  EXPECT_EQ(g.find("x"), a);
  g.rename(a, "x");  // its own name is free for it
  EXPECT_EQ(a->name, "x");
}

TEST(Graph, ConstantsThatNobodyUsesGo) {
  auto g = parsed(kDiamond);
  ASSERT_TRUE(g);
  for (int i = 0; i < 5; ++i) g->add_constant(Tensor::scalar<int64_t>(i));
  EXPECT_EQ(g->values().size(), 13u);
  g->erase_unused_constants();
  EXPECT_EQ(g->values().size(), 8u);
  EXPECT_TRUE(g->find("k"));
  expect_valid(*g);
}

TEST(Graph, ARegionMovesIntoItsGraph) {
  auto g = parsed(kDiamond);
  ASSERT_TRUE(g);
  Node* r = g->find("r")->producer;
  const std::vector<Value*> captures(r->inputs.begin() + 1, r->inputs.end());
  const auto results = g->inline_region(*r->regions[0], captures, r);
  ASSERT_EQ(results.size(), 1u);
  g->replace_uses(r->output(), results[0]);
  g->erase_node(r);
  expect_valid(*g);
  EXPECT_THAT(print(*g), HasSubstr("%s = Binary(%d, %k) : float32[n,4]"));
}

TEST(Graph, RegionsOfAMovedRegionMoveAlong) {
  auto g = parsed(R"(graph @main(%x: float32[4], %c: bool[]) -> (y = %r) {
    %r = If(%c; %x, %c)
      region @then(%p: float32[4], %d: bool[]) -> (%s) {
        %k = constant float32[4] random(1)
        %s = If(%d; %p, %k)
          region @then(%a: float32[4], %b: float32[4]) -> (%t) { %t = Binary(%a, %b) }
          region @else(%a: float32[4], %b: float32[4]) -> (%a) {}
      }
      region @else(%p: float32[4], %d: bool[]) -> (%p) {}
  })");
  ASSERT_TRUE(g);
  Node* r = g->find("r")->producer;
  const std::vector<Value*> captures(r->inputs.begin() + 1, r->inputs.end());
  const auto results = g->inline_region(*r->regions[0], captures, r);
  g->replace_uses(r->output(), results[0]);
  g->erase_node(r);
  expect_valid(*g);
  auto copy = g->clone();
  g.reset();
  expect_valid(*copy);
  EXPECT_EQ(copy->node_count(), 2);
}

TEST(Graph, UndefinedSymbolsGo) {
  auto g = parsed(kDiamond);
  ASSERT_TRUE(g);
  g->erase_undefined_symbols();
  EXPECT_TRUE(g->symbol("k0"));
  g->erase_node(g->find("nz")->producer);
  g->erase_undefined_symbols();
  EXPECT_FALSE(g->symbol("k0"));
  EXPECT_TRUE(g->symbol("n"));
  expect_valid(*g);
}

TEST(Verify, NamesWhatIsBroken) {
  auto with = [](auto&& damage) {
    auto g = parsed(kDiamond);
    if (!g) return std::string();
    damage(*g);
    return broken(*g);
  };
  EXPECT_THAT(with([](Graph& g) { g.find("a")->uses.clear(); }), HasSubstr("uses are listed"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->uses.push_back(g.find("b")->uses[0]); }),
              HasSubstr("has another there"));
  EXPECT_THAT(with([](Graph& g) { g.find("b")->uses.push_back(g.find("b")->uses[0]); }), HasSubstr("twice"));
  EXPECT_THAT(with([](Graph& g) { g.move_before(g.find("d")->producer, g.find("a")->producer); }),
              HasSubstr("is computed later"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->shaped = false; }), HasSubstr("'a' has no inferred shape"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->dtype = DType::kUndefined; }), HasSubstr("'a' has no dtype"));
  EXPECT_THAT(with([](Graph& g) { g.find("k")->dtype = DType::kInt64; }),
              HasSubstr("constant 'k' is declared int64 and holds float32"));
  EXPECT_THAT(with([](Graph& g) { g.find("k")->shape = {5}; }), HasSubstr("not of its declared shape"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->id = g.find("b")->id; }), HasSubstr("has the id"));
  EXPECT_THAT(with([](Graph& g) { g.find("b")->producer->id = g.find("d")->producer->id; }), HasSubstr("has its id"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->producer = nullptr; }), HasSubstr("neither input nor constant"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->output_index = 1; }), HasSubstr("names another producer"));
  EXPECT_THAT(with([](Graph& g) { g.find("b")->producer->attrs = make_attrs(test::EveryAttrs{}); }),
              HasSubstr("attributes where the operator has none"));
  EXPECT_THAT(with([](Graph& g) { g.find("b")->producer->op = &test::kEvery; }), HasSubstr("no attributes"));
  EXPECT_THAT(with([](Graph& g) { g.find("r")->producer->regions.pop_back(); }),
              HasSubstr("expected 2 regions, found 1"));
  EXPECT_THAT(with([](Graph& g) { g.find("r")->producer->own_inputs = 0; }), HasSubstr("inputs"));
  EXPECT_THAT(with([](Graph& g) { g.find("r")->producer->regions[0]->find("p")->dtype = DType::kInt64; }),
              HasSubstr("as another type"));
  EXPECT_THAT(with([](Graph& g) { g.remove_node_input(g.find("b")->producer, 1); }),
              HasSubstr("expected 2 to 2 inputs, found 1"));
  EXPECT_THAT(with([](Graph& g) { g.find("nz")->producer->sizes.clear(); }),
              HasSubstr("'k0', which no node before it defines"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->producer->sizes = g.find("nz")->producer->sizes; }),
              HasSubstr("defines"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->shape = {Dim(std::make_shared<const Symbol>(Symbol{"other"}))}; }),
              HasSubstr("'other', which is not declared"));
  EXPECT_THAT(with([](Graph& g) { g.output_names.pop_back(); }), HasSubstr("3 outputs have 2 names"));
  EXPECT_THAT(with([](Graph& g) { g.output_names[0] = "z"; }), HasSubstr("same name"));
  EXPECT_THAT(with([](Graph& g) { g.outputs[0] = nullptr; }), HasSubstr("an output is not a value"));
  EXPECT_THAT(with([](Graph& g) { g.find("a")->known = std::make_shared<const SymValue>(2); }),
              HasSubstr("known elements"));
}

}  // namespace
}  // namespace fovea::core
