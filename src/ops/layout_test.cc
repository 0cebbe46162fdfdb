// Inference of operators that move elements: sizes and known elements under symbols, on graphs built by hand.
#include "ops/layout.h"

#include <gtest/gtest.h>

#include "ops/axes.h"
#include "ops/axis.h"
#include "ops/cast.h"
#include "ops/constant_of_shape.h"
#include "ops/gather_nd.h"
#include "ops/pad.h"
#include "ops/reshape.h"
#include "ops/scatter.h"
#include "ops/shape.h"
#include "ops/slice.h"
#include "ops/top_k.h"
#include "ops/transpose.h"

namespace fovea::core {
namespace {

class Inference : public ::testing::Test {
 protected:
  Graph g{"test"};
  Dim n = Dim(g.declare_symbol({"n", 1, 1024, false}));
  Dim h = Dim(g.declare_symbol({"h", 1, 8192, false}));
  Dim k0 = Dim(g.declare_symbol({"k0", 0, 8732, true}));
  int names = 0;

  Value* input(Shape shape, DType type = DType::kFloat32) {
    return g.add_input(fmt::format("x{}", names++), type, std::move(shape));
  }
  Value* ints(std::vector<int64_t> v) {
    return g.add_constant(Tensor::of<int64_t>({static_cast<int64_t>(v.size())}, std::span<const int64_t>(v)));
  }
  Value* scalar(int64_t v) { return g.add_constant(Tensor::scalar(v)); }
  // An int64 vector of which these elements are known.
  Value* known(std::vector<std::optional<Expr>> elements) {
    Value* v = input({static_cast<int64_t>(elements.size())}, DType::kInt64);
    v->known = std::make_shared<const SymValue>(std::move(elements));
    return v;
  }
  Value* known_scalar(const Expr& e) {
    Value* v = input({}, e.dtype());
    v->known = std::make_shared<const SymValue>(SymValue{e});
    return v;
  }
  Status try_op(const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs, Value** out, int outputs = 1) {
    Node* node = g.add_node(&op.info, std::move(attrs), std::move(inputs), outputs);
    *out = node->outputs[0];
    return infer_node(g, *node);
  }
  Value* op(const OpDef& def, AttrsPtr attrs, std::vector<Value*> inputs, int outputs = 1) {
    Value* out = nullptr;
    Status s = try_op(def, std::move(attrs), std::move(inputs), &out, outputs);
    EXPECT_TRUE(s.ok()) << s.message();
    return out;
  }
  template <typename T>
  Value* op(const OpDef& def, T attrs, std::vector<Value*> inputs, int outputs = 1) {
    return op(def, make_attrs(std::move(attrs)), std::move(inputs), outputs);
  }
  Value* shape_of(Value* x) { return op(op_Shape, ShapeAttrs{}, {x}); }
  Value* pick(Value* x, int64_t i) { return op(op_Gather, AxisAttrs{}, {x, scalar(i)}); }
  Value* unsqueeze(Value* x) { return op(op_Unsqueeze, AxesAttrs{{0}}, {x}); }
  Value* concat(std::vector<Value*> parts, int64_t axis = 0) {
    return op(op_Concat, AxisAttrs{axis}, std::move(parts));
  }
  Value* cast_to(Value* x, DType type) { return op(op_Cast, CastAttrs{.to = type}, {x}); }
  static std::string elements(const Value* v) {
    std::string s;
    if (!v->known) return "?";
    for (const auto& e : *v->known) s += (s.empty() ? "" : ",") + (e ? e->str() : std::string("?"));
    return s;
  }
  static std::string shape(const Value* v) { return to_string(v->shape); }
};

// view(x.shape[0], -1, 4) as exporters write it.
TEST_F(Inference, ShapeArithmeticOfAReshape) {
  Value* x = input({n, 24, 38, 38});
  Value* target = concat({unsqueeze(pick(shape_of(x), 0)), ints({-1}), ints({4})});
  EXPECT_EQ(elements(target), "n,-1,4");
  EXPECT_EQ(shape(op(op_Reshape, ReshapeAttrs{}, {x, target})), "[n,8664,4]");
}

TEST_F(Inference, ExpandWithTargetsThatMayBeMinusOne) {
  // expand(n, -1, 4): where(target == -1, ones, target)
  Value* x = input({n, 1, 4});
  Value* target = concat({unsqueeze(pick(shape_of(x), 0)), ints({8732}), ints({4})});
  Value* minus =
      op(op_Mul, nullptr,
         {op(op_ConstantOfShape, ConstantOfShapeAttrs{Tensor::of<int64_t>({1}, {1})}, {shape_of(target)}), scalar(-1)});
  Value* ones = op(op_ConstantOfShape, ConstantOfShapeAttrs{Tensor::of<int64_t>({1}, {1})}, {ints({3})});
  Value* chosen = op(op_Where, nullptr, {op(op_Equal, nullptr, {target, minus}), ones, target});
  EXPECT_EQ(elements(chosen), "n,8732,4");
  EXPECT_EQ(shape(op(op_Expand, nullptr, {x, chosen})), "[n,8732,4]");
}

TEST_F(Inference, ExpandOfUnknownTargets) {
  Value* x = input({5, 1});
  EXPECT_EQ(shape(op(op_Expand, nullptr, {x, known({std::nullopt, n})})), "[5,n]");
  Value* y = op(op_Expand, nullptr, {x, known({n, std::nullopt})});
  EXPECT_EQ(y->shape[0].str(), "5");
  EXPECT_TRUE(y->shape[1].data_dependent());
  EXPECT_EQ(shape(op(op_Expand, nullptr, {known_scalar(7), known({n, h})})), "[n,h]");
}

TEST_F(Inference, DataDependentSizesPassThrough) {
  Value* x = input({3, k0});
  EXPECT_EQ(shape(op(op_Transpose, TransposeAttrs{{1, 0}}, {x})), "[k0,3]");
  EXPECT_EQ(shape(op(op_GatherND, GatherNDAttrs{}, {input({n, 8732, 81, 4}), input({k0, 3}, DType::kInt64)})),
            "[k0,4]");
  EXPECT_EQ(shape(op(op_GatherND, GatherNDAttrs{1}, {input({n, 7, 4}), input({n, k0, 1}, DType::kInt64)})), "[n,k0,4]");
  EXPECT_EQ(shape(op(op_GatherElements, AxisAttrs{1}, {input({n, 8732}), input({n, 200}, DType::kInt64)})), "[n,200]");
  EXPECT_EQ(shape(concat({input({k0, 4}), input({300, 4}), input({n, 4})})), "[k0 + n + 300,4]");
  EXPECT_EQ(shape(op(op_Reshape, ReshapeAttrs{}, {x, ints({-1})})), "[3*k0]");
  EXPECT_EQ(shape(op(op_Squeeze, AxesAttrs{{1}}, {input({k0, 1})})), "[k0]");
  EXPECT_EQ(shape(op(op_ScatterND, ScatterNDAttrs{}, {input({n, 4}), input({n, 2, 2}, DType::kInt64), input({n, 2})})),
            "[n,4]");
}

TEST_F(Inference, TopKTakesASymbolicCount) {
  Value* x = input({k0});
  Value* k = known({min(Dim(300), k0)});
  Node* node = g.add_node(&op_TopK.info, make_attrs(TopKAttrs{}), {x, k}, 2);
  ASSERT_TRUE(infer_node(g, *node).ok());
  EXPECT_EQ(shape(node->outputs[0]), "[min(300, k0)]");
  EXPECT_EQ(shape(node->outputs[1]), "[min(300, k0)]");
  EXPECT_EQ(node->outputs[1]->dtype, DType::kInt64);
  Value* out = nullptr;
  EXPECT_FALSE(try_op(op_TopK, make_attrs(TopKAttrs{}), {input({7}), ints({8})}, &out, 2).ok());
  // An unknown k is bounded by the size it is taken from.
  ASSERT_TRUE(try_op(op_TopK, make_attrs(TopKAttrs{}), {input({n, 50}), input({1}, DType::kInt64)}, &out, 2).ok());
  EXPECT_EQ(out->shape[1].hi(), 50);
}

TEST_F(Inference, RangesSimplify) {
  auto length = [&](const Expr& start, const Expr& limit, const Expr& delta) {
    return shape(op(op_Range, nullptr, {known_scalar(start), known_scalar(limit), known_scalar(delta)}));
  };
  EXPECT_EQ(length(0, n, 1), "[n]");
  EXPECT_EQ(length(0, n * Dim(2), 2), "[n]");
  EXPECT_EQ(length(n, 0, -1), "[n]");
  EXPECT_EQ(length(0, k0, 1), "[k0]");
  EXPECT_EQ(length(5, n, 1), "[max(0, n - 5)]");
  EXPECT_EQ(length(2, 2, 1), "[0]");
  Value* r = op(op_Range, nullptr, {known_scalar(n), known_scalar(n + 3), known_scalar(1)});
  EXPECT_EQ(shape(r), "[3]");
  EXPECT_EQ(elements(r), "n,n + 1,n + 2");
  Value* unknown = op(op_Range, nullptr, {scalar(0), input({}, DType::kInt64), scalar(1)});
  EXPECT_TRUE(unknown->shape[0].data_dependent());
}

TEST_F(Inference, CastsRoundAndStayKnown) {
  Value* f = cast_to(known({n, 7}), DType::kFloat32);
  EXPECT_EQ((*f->known)[1]->float_value(), 7);
  EXPECT_EQ((*f->known)[0]->dtype(), DType::kFloat32);
  Value* half = op(op_Mul, nullptr, {f, g.add_constant(Tensor::scalar<float>(0.5f))});
  Value* back = cast_to(half, DType::kInt64);
  EXPECT_TRUE((*back->known)[1]->is_const(3));
  auto at_9 = evaluate(*(*back->known)[0], [](const Symbol&) { return std::optional<int64_t>(9); });
  EXPECT_EQ(*at_9, 4);
  EXPECT_EQ(elements(cast_to(known({n, k0}), DType::kInt32)), "n,k0");
  EXPECT_EQ(elements(cast_to(known({n * Dim(4'000'000), 5'000'000'000}), DType::kInt32)),
            "?,705032704");  // may wrap; wraps
  EXPECT_EQ(elements(cast_to(known({Dim(0), n}), DType::kBool)), "false,true");
  EXPECT_EQ(elements(cast_to(known({n}), DType::kFloat16)), "?");
}

TEST_F(Inference, ConstantOfShapeAndTile) {
  Value* zeros = op(op_ConstantOfShape, ConstantOfShapeAttrs{Tensor::of<int64_t>({1}, {3})}, {known({n, k0})});
  EXPECT_EQ(shape(zeros), "[n,k0]");
  Value* small = op(op_ConstantOfShape, ConstantOfShapeAttrs{Tensor::of<int64_t>({1}, {3})}, {ints({2})});
  EXPECT_EQ(elements(small), "3,3");
  Value* t = op(op_Tile, nullptr, {known({n, k0}), ints({2})});
  EXPECT_EQ(shape(t), "[4]");
  EXPECT_EQ(elements(t), "n,k0,n,k0");
  EXPECT_EQ(shape(op(op_Tile, nullptr, {input({1, 3}), known({n, h})})), "[n,3*h]");
}

TEST_F(Inference, MovementOfKnownElements) {
  Value* v = known({n, h, std::nullopt, k0});
  EXPECT_EQ(elements(op(op_Slice, nullptr, {v, ints({-1}), ints({INT64_MIN}), ints({0}), ints({-1})})), "k0,?,h,n");
  EXPECT_EQ(elements(op(op_Slice, nullptr, {v, ints({1}), ints({INT64_MAX})})), "h,?,k0");
  EXPECT_EQ(elements(op(op_Gather, AxisAttrs{}, {v, ints({-1, 0})})), "k0,n");
  EXPECT_EQ(elements(op(op_ScatterND, ScatterNDAttrs{},
                        {v, g.add_constant(Tensor::of<int64_t>({2, 1}, {0, -2})), known({7, h})})),
            "7,h,h,k0");
  EXPECT_EQ(elements(op(op_ScatterElements, ScatterElementsAttrs{}, {v, ints({2}), known({8})})), "n,h,8,k0");
  EXPECT_EQ(elements(op(op_Pad, PadAttrs{PadMode::kConstant, {0}}, {v, ints({1, -2})})), "0,n,h");
  EXPECT_EQ(elements(op(op_GatherElements, AxisAttrs{}, {v, ints({3, 1})})), "k0,h");
  Value* grid = op(op_Reshape, ReshapeAttrs{}, {v, ints({2, 2})});
  EXPECT_EQ(elements(op(op_Transpose, TransposeAttrs{{1, 0}}, {grid})), "n,?,h,k0");
  EXPECT_EQ(elements(op(op_GatherND, GatherNDAttrs{}, {grid, ints({1, 1})})), "k0");
  EXPECT_EQ(elements(op(op_Expand, nullptr, {known({n}), ints({2, 2})})), "n,n,n,n");
  Node* split = g.add_node(&op_Split.info, make_attrs(AxisAttrs{}), {v}, 2);
  ASSERT_TRUE(infer_node(g, *split).ok());
  EXPECT_EQ(elements(split->outputs[0]), "n,h");
  EXPECT_EQ(elements(split->outputs[1]), "?,k0");
  EXPECT_EQ(elements(op(op_Size, nullptr, {input({n, 3, h})})), "3*h*n");
}

TEST_F(Inference, WhereOfUnknownConditions) {
  Value* condition = input({2}, DType::kBool);
  EXPECT_EQ(elements(op(op_Where, nullptr, {condition, known({n, h}), known({n, 3})})), "?");
  Value* some = input({2}, DType::kBool);
  some->known = std::make_shared<const SymValue>(SymValue{less(k0, Dim(5)), std::nullopt});
  EXPECT_EQ(elements(op(op_Where, nullptr, {some, known({n, h}), known({h, h})})), "select(lt(k0, 5), n, h),h");
}

TEST_F(Inference, SlicesOfSymbolicSizes) {
  auto size = [&](const Dim& of, const Expr& start, const Expr& end, int64_t step = 1) {
    return op(op_Slice, nullptr, {input({of}), known({start}), known({end}), ints({0}), ints({step})})->shape[0].str();
  };
  EXPECT_EQ(size(n, 0, INT64_MAX), "n");
  EXPECT_EQ(size(n, 0, n), "n");
  EXPECT_EQ(size(n, -1, INT64_MAX), "1");
  EXPECT_EQ(size(k0, -1, INT64_MAX), "min(1, k0)");
  EXPECT_EQ(size(k0, 0, 300), "min(300, k0)");
  EXPECT_EQ(size(k0, 0, min(Dim(300), k0)), "min(300, k0)");
  EXPECT_EQ(size(h, 0, -1), "h - 1");
  EXPECT_EQ(size(h, -1, INT64_MIN, -1), "h");
  EXPECT_EQ(size(h, 0, INT64_MAX, 2), floor_div(h + 1, 2).str());
  EXPECT_EQ(size(h * Dim(2), 0, INT64_MAX, 2), "h");
  EXPECT_EQ(size(h * Dim(2), 1, INT64_MAX, 2), "h");
  EXPECT_EQ(size(h, n, INT64_MAX), max(h - n, 0).str());
  EXPECT_EQ(size(Dim(8732), 5776, 7942), "2166");
}

// Every small case, with each of size, start and end a number or a symbol of narrow or wide bounds.
TEST_F(Inference, SlicesAreExactForEveryBinding) {
  struct Range {
    int64_t lo, hi;
  };
  for (const Range size_range : {Range{0, 4}, {1, 4}, {3, 3}})
    for (const Range start_range :
         {Range{-6, 6}, {0, 6}, {-6, -1}, {-1, -1}, {2, 2}, {INT64_MIN, INT64_MIN}, {INT64_MAX, INT64_MAX}})
      for (const Range end_range :
           {Range{-6, 6}, {0, 6}, {-6, -1}, {1, 1}, {INT64_MIN, INT64_MIN}, {INT64_MAX, INT64_MAX}})
        for (const int64_t step :
             {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{-1}, int64_t{-2}, INT64_MAX, INT64_MIN}) {
          auto make = [&](const char* name, Range r) {
            return r.lo == r.hi ? Expr(r.lo) : Expr(g.declare_symbol({name, r.lo, r.hi, false}));
          };
          const Expr size = make("d", size_range), start = make("s", start_range), end = make("e", end_range);
          const Dim inferred =
              op(op_Slice, nullptr, {input({size}), known({start}), known({end}), ints({0}), ints({step})})->shape[0];
          for (int64_t d = size_range.lo; d <= size_range.hi; ++d)
            for (int64_t s = start_range.lo;; ++s) {
              for (int64_t e = end_range.lo;; ++e) {
                auto r = evaluate(inferred, [&](const Symbol& symbol) {
                  return std::optional(symbol.name == "d" ? d : symbol.name == "s" ? s : e);
                });
                ASSERT_TRUE(r.ok()) << r.status().message();
                ASSERT_EQ(*r, slice_length(slice_start(s, step, d), e, step, d))
                    << inferred.str() << " at size " << d << ", " << s << ":" << e << ":" << step;
                ASSERT_GE(*r, inferred.lo());
                ASSERT_LE(*r, inferred.hi());
                if (e == end_range.hi) break;
              }
              if (s == start_range.hi) break;
            }
        }
}

TEST_F(Inference, UnknownBoundsOfASliceAreBounded) {
  Value* y = op(op_Slice, nullptr, {input({h}), ints({2}), input({1}, DType::kInt64), ints({0})});
  EXPECT_TRUE(y->shape[0].data_dependent());
  EXPECT_EQ(y->producer->sizes[0].bound.str(), "max(0, h - 2)");
  y = op(op_Slice, nullptr, {input({h}), input({1}, DType::kInt64), input({1}, DType::kInt64), ints({0})});
  EXPECT_EQ(y->producer->sizes[0].bound.str(), "h");
  Value* same = op(op_Slice, nullptr, {y, ints({0}), ints({INT64_MAX})});
  EXPECT_EQ(shape(same), shape(y));
}

TEST_F(Inference, InferringAgainGivesTheSameSymbols) {
  Value* y = op(op_Slice, nullptr, {input({h}), ints({0}), input({1}, DType::kInt64), ints({0})});
  const std::string first = shape(y);
  ASSERT_TRUE(infer_graph(g).ok());
  EXPECT_EQ(shape(y), first);
}

TEST_F(Inference, SplitsOfSymbolicSizes) {
  Node* split = g.add_node(&op_Split.info, make_attrs(AxisAttrs{}), {input({h * Dim(3)})}, 3);
  ASSERT_TRUE(infer_node(g, *split).ok());
  for (const Value* v : split->outputs) EXPECT_EQ(shape(v), "[h]");
  split = g.add_node(&op_Split.info, make_attrs(AxisAttrs{}), {input({n + h}), known({n, h})}, 2);
  ASSERT_TRUE(infer_node(g, *split).ok());
  EXPECT_EQ(shape(split->outputs[1]), "[h]");
}

TEST_F(Inference, MessagesNameTheNode) {
  Value* out = nullptr;
  Status s = try_op(op_Gather, make_attrs(AxisAttrs{2}), {input({3}), ints({0})}, &out);
  ASSERT_FALSE(s.ok());
  EXPECT_EQ(s.kind(), ErrorKind::kInvalidModel);
  EXPECT_NE(s.message().find("Gather"), std::string::npos);
  EXPECT_NE(s.message().find("[-1, 1)"), std::string::npos) << s.message();
  s = try_op(op_Concat, make_attrs(AxisAttrs{0}), {input({3, 2}), input({3, 4})}, &out);
  EXPECT_NE(s.message().find("sizes 2 and 4"), std::string::npos) << s.message();
}

}  // namespace
}  // namespace fovea::core
