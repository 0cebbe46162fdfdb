#include "ir/expr.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "ir/shape_program.h"

namespace fovea::core {
namespace {

SymbolPtr symbol(std::string name, int64_t lo, int64_t hi) {
  return std::make_shared<const Symbol>(Symbol{std::move(name), lo, hi});
}

struct Sizes {
  SymbolPtr n = symbol("n", 1, 1024), h = symbol("h", 1, 8192), w = symbol("w", 2, 8192), k = symbol("k", 0, 300),
            z = symbol("z", -5, 5);
  std::vector<SymbolPtr> all() const { return {n, h, w, k, z}; }
};

int64_t value(const Expr& e, const std::map<std::string, int64_t>& bindings) {
  auto r = evaluate(e, [&](const Symbol& s) -> std::optional<int64_t> {
    auto it = bindings.find(s.name);
    return it == bindings.end() ? std::nullopt : std::optional(it->second);
  });
  EXPECT_TRUE(r.ok()) << r.status().message();
  return r.ok() ? *r : -1;
}

TEST(Expr, EqualSizesCompareEqual) {
  Sizes s;
  const Expr n(s.n), h(s.h), w(s.w);
  EXPECT_EQ(floor_div(2 * n + 4, 2), n + 2);
  EXPECT_EQ((n + 1) * (n + 1), n * n + 2 * n + 1);
  EXPECT_EQ(n * h - h * n, Expr(0));
  EXPECT_EQ(floor_div(n * h * 4, n * h), Expr(4));
  EXPECT_EQ(floor_div(n * 23104, 5776), 4 * n);
  EXPECT_EQ(floor_div(floor_div(h - 1, 2), 3), floor_div(h - 1, 6));
  EXPECT_EQ(floor_mod(h + 16 * n, 16), floor_mod(h, 16));
  EXPECT_EQ(floor_mod(4 * n, 4), Expr(0));
  EXPECT_EQ(max(h, 1), h);
  EXPECT_EQ(min(h, 9000), h);
  EXPECT_EQ(min(h, w), min(w, h));
  EXPECT_EQ(select(equal(h, 1), w, w), w);
  EXPECT_NE(floor_div(h, 2) * 2, h);
}

TEST(Expr, ComparisonsThatBoundsDecide) {
  Sizes s;
  const Expr n(s.n), w(s.w), k(s.k);
  EXPECT_TRUE(less(Expr(0), n).is_const());
  EXPECT_EQ(less(Expr(0), n).int_value(), 1);
  EXPECT_EQ(equal(w, 1).int_value(), 0);
  EXPECT_TRUE(equal(w, 1).is_const());
  EXPECT_FALSE(equal(k, 0).is_const());
  EXPECT_EQ(less(n, n + k).op(), ExprOp::kLt);
  EXPECT_EQ(less_equal(n, n + k).int_value(), 1);
}

TEST(Expr, ConstantsAtTheEndsOfInt64) {
  const int64_t lowest = std::numeric_limits<int64_t>::min(), highest = std::numeric_limits<int64_t>::max();
  Sizes s;
  const Expr n(s.n);
  EXPECT_EQ(min(lowest, 5), Expr(lowest));
  EXPECT_EQ(max(lowest, 5), Expr(5));
  EXPECT_EQ(less(highest, -1).int_value(), 0);
  EXPECT_EQ(less(lowest, 1).int_value(), 1);
  EXPECT_EQ(less_equal(Expr(highest), Expr(lowest)).int_value(), 0);
  EXPECT_EQ(min(n, highest), n);
  EXPECT_EQ(max(n, lowest), n);
  EXPECT_EQ(equal(n, highest).int_value(), 0);
  EXPECT_EQ(min(highest, lowest), Expr(lowest));
}

TEST(Expr, Bounds) {
  Sizes s;
  const Expr n(s.n), h(s.h), k(s.k), z(s.z);
  EXPECT_EQ((n * h).lo(), 1);
  EXPECT_EQ((n * h).hi(), 1024 * 8192);
  EXPECT_EQ((n - h).lo(), 1 - 8192);
  EXPECT_EQ(floor_div(h + 1, 2).lo(), 1);
  EXPECT_EQ(floor_div(h + 1, 2).hi(), 4096);
  EXPECT_EQ(floor_mod(h, 32).hi(), 31);
  EXPECT_EQ((z * k).lo(), -1500);
  EXPECT_EQ((z * k).hi(), 1500);
  EXPECT_EQ(max(k, 1).lo(), 1);
  const Expr scaled =
      cast(float_op(ExprOp::kMul, {cast(h, DType::kFloat32), Expr::floating(DType::kFloat32, 0.5)}), DType::kInt64);
  EXPECT_EQ(scaled.lo(), 0);
  EXPECT_EQ(scaled.hi(), 4096);
  Expr unknown(std::make_shared<const Symbol>(Symbol{"u"}));
  EXPECT_EQ((unknown * unknown * 4 + 7).hi(), kUnbounded);
}

// torchvision's GeneralizedRCNNTransform: floor(float32(side) * scale) with a float32 scale. Exact arithmetic is off by
// one for a tenth of all sizes, so every operation must round as float32 does.
TEST(Expr, ResizeOfTorchvisionInFloat32) {
  Sizes s;
  const Expr h(s.h), w(s.w);
  auto f = [](const Expr& e) { return cast(e, DType::kFloat32); };
  auto constant = [](double v) { return Expr::floating(DType::kFloat32, v); };
  const Expr shorter = f(min(h, w)), longer = f(max(h, w));
  const Expr scale = float_op(ExprOp::kFMin, {float_op(ExprOp::kDiv, {constant(800), shorter}),
                                              float_op(ExprOp::kDiv, {constant(1333), longer})});
  const Expr new_h = cast(float_op(ExprOp::kFloor, {float_op(ExprOp::kMul, {f(h), scale})}), DType::kInt64);
  ShapeProgram program;
  const int slot = program.add(new_h);
  int exact_differs = 0, count = 0;
  for (int64_t hh = 300; hh < 1500; hh += 7)
    for (int64_t ww = 301; ww < 1500; ww += 11) {
      const float by_hand_scale =
          std::min(800.0f / static_cast<float>(std::min(hh, ww)), 1333.0f / static_cast<float>(std::max(hh, ww)));
      const auto by_hand = static_cast<int64_t>(std::floor(static_cast<float>(hh) * by_hand_scale));
      ASSERT_EQ(value(new_h, {{"h", hh}, {"w", ww}}), by_hand) << hh << "x" << ww;
      std::vector<int64_t> values(static_cast<size_t>(program.slots()));
      std::vector<uint8_t> known(values.size());
      for (auto [name, v] : {std::pair("h", hh), std::pair("w", ww)}) {
        const auto i = static_cast<size_t>(program.symbol_slot(name));
        values[i] = v, known[i] = 1;
      }
      ASSERT_TRUE(program.run(values, known).ok());
      ASSERT_EQ(values[static_cast<size_t>(slot)], by_hand);
      const double exact =
          std::min(800.0 / static_cast<double>(std::min(hh, ww)), 1333.0 / static_cast<double>(std::max(hh, ww)));
      exact_differs += static_cast<int64_t>(std::floor(static_cast<double>(hh) * exact)) != by_hand;
      ++count;
    }
  EXPECT_GT(exact_differs * 50, count);  // the test would be worthless otherwise
}

// A random expression together with the tree it was built from.
struct Naive {
  char op = 'c';
  int64_t constant = 0;
  std::string name;
  std::vector<Naive> args;
};

// nullopt: overflow or division by zero, where nothing is promised.
std::optional<int64_t> evaluate_naively(const Naive& e, const std::map<std::string, int64_t>& bindings) {
  if (e.op == 'c') return e.constant;
  if (e.op == 's') return bindings.at(e.name);
  int64_t a[3] = {};
  for (size_t i = 0; i < e.args.size(); ++i) {
    auto v = evaluate_naively(e.args[i], bindings);
    if (!v || std::abs(*v) > (int64_t{1} << 50)) return std::nullopt;
    a[i] = *v;
  }
  int64_t r = 0;
  switch (e.op) {
    case '+': return a[0] + a[1];
    case '-': return a[0] - a[1];
    case '*': return __builtin_mul_overflow(a[0], a[1], &r) ? std::nullopt : std::optional(r);
    case '/':
      return a[1] == 0 ? std::nullopt
                       : std::optional(static_cast<int64_t>(
                             std::floor(static_cast<long double>(a[0]) / static_cast<long double>(a[1]))));
    case 't': return a[1] == 0 ? std::nullopt : std::optional(a[0] / a[1]);
    case '%':
      if (a[1] == 0) return std::nullopt;
      r = a[0] % a[1];
      return r != 0 && (r < 0) != (a[1] < 0) ? r + a[1] : r;
    case 'm': return std::min(a[0], a[1]);
    case 'M': return std::max(a[0], a[1]);
    case '=': return a[0] == a[1];
    case '<': return a[0] < a[1];
    case 'l': return a[0] <= a[1];
    case '?': return a[0] < a[1] ? a[2] : a[0];
    default: return std::nullopt;
  }
}

Expr random_expr(std::mt19937_64& rng, int depth, const Sizes& s, Naive& naive) {
  auto below = [&](uint64_t n) { return static_cast<size_t>(rng() % n); };
  if (depth == 0 || below(6) == 0) {
    if (below(2)) {
      constexpr int64_t kConstants[] = {0, 1, -1, 2, 3, 4, -4, 8, 16, 300, 8732};
      naive.constant = kConstants[below(std::size(kConstants))];
      return naive.constant;
    }
    const SymbolPtr picked = s.all()[below(5)];
    naive.op = 's', naive.name = picked->name;
    return Expr(picked);
  }
  constexpr char kOps[] = "++--**//t%mM=<l?";
  naive.op = kOps[below(sizeof kOps - 1)];
  naive.args.resize(naive.op == '?' ? 3 : 2);
  std::vector<Expr> a;
  for (Naive& n : naive.args) a.push_back(random_expr(rng, depth - 1, s, n));
  switch (naive.op) {
    case '+': return a[0] + a[1];
    case '-': return a[0] - a[1];
    case '*': return a[0] * a[1];
    case '/': return floor_div(a[0], a[1]);
    case 't': return trunc_div(a[0], a[1]);
    case '%': return floor_mod(a[0], a[1]);
    case 'm': return min(a[0], a[1]);
    case 'M': return max(a[0], a[1]);
    case '=': return cast(equal(a[0], a[1]), DType::kInt64);
    case '<': return cast(less(a[0], a[1]), DType::kInt64);
    case 'l': return cast(less_equal(a[0], a[1]), DType::kInt64);
    default: return select(less(a[0], a[1]), a[2], a[0]);
  }
}

class RandomExpr : public testing::TestWithParam<int> {};

TEST_P(RandomExpr, SimplifiedEvaluatedParsedAndCompiledAgree) {
  const Sizes s;
  for (int i = 0; i < 400; ++i) {
    const uint64_t seed = static_cast<uint64_t>(GetParam()) * 1000 + static_cast<uint64_t>(i);
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 rng(seed);
    Naive naive;
    const Expr e = random_expr(rng, 1 + static_cast<int>(rng() % 5), s, naive);
    if (e.weight() > 2000) continue;

    auto parsed = parse_expr(e.str(), [&](std::string_view name) -> SymbolPtr {
      for (const SymbolPtr& p : s.all())
        if (p->name == name) return p;
      return nullptr;
    });
    ASSERT_TRUE(parsed.ok()) << e.str() << ": " << parsed.status().message();

    ShapeProgram program;
    for (const SymbolPtr& p : s.all()) program.add_symbol(p);
    const auto slot = static_cast<size_t>(program.add(e));
    for (int trial = 0; trial < 8; ++trial) {
      std::map<std::string, int64_t> bindings;
      for (const SymbolPtr& p : s.all()) {
        const auto span = static_cast<uint64_t>(p->hi - p->lo + 1);
        bindings[p->name] = trial == 0 ? p->lo : trial == 1 ? p->hi : p->lo + static_cast<int64_t>(rng() % span);
      }
      auto expected = evaluate_naively(naive, bindings);
      if (!expected) continue;
      auto bind = [&](const Symbol& p) { return std::optional(bindings.at(p.name)); };
      auto got = evaluate(e, bind);
      if (!got.ok()) continue;  // an intermediate of the normal form overflowed
      ASSERT_EQ(*got, *expected) << e.str();
      ASSERT_GE(*got, e.lo()) << e.str();
      ASSERT_LE(*got, e.hi()) << e.str();
      auto again = evaluate(*parsed, bind);
      ASSERT_TRUE(again.ok()) << e.str();
      ASSERT_EQ(*again, *expected) << e.str() << " read back as " << parsed->str();
      std::vector<int64_t> values(static_cast<size_t>(program.slots()));
      std::vector<uint8_t> known(values.size());
      for (const SymbolPtr& p : s.all()) {
        const auto k = static_cast<size_t>(program.symbol_slot(p->name));
        values[k] = bindings.at(p->name), known[k] = 1;
      }
      if (!program.run(values, known).ok()) continue;  // what evaluate() leaves unselected may divide by zero
      ASSERT_EQ(values[slot], *expected) << e.str();
      // All symbols replaced by numbers: the same by algebra.
      const Expr number = substitute(e, [&](const Symbol& p) { return std::optional(Expr(bindings.at(p.name))); });
      if (number.is_const()) ASSERT_EQ(number.int_value(), *expected) << e.str();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomExpr, testing::Range(0, 10));

TEST(Expr, TextOfFloatsIsExact) {
  std::mt19937_64 rng(7);
  auto none = [](std::string_view) -> SymbolPtr { return nullptr; };
  for (int i = 0; i < 2000; ++i) {
    const auto bits = static_cast<uint32_t>(rng());
    const float f = std::bit_cast<float>(bits);
    if (std::isnan(f)) continue;
    const Expr e = Expr::floating(DType::kFloat32, static_cast<double>(f)),
               d = Expr::floating(DType::kFloat64, std::bit_cast<double>(rng()));
    auto back = parse_expr(e.str(), none);
    ASSERT_TRUE(back.ok()) << e.str();
    ASSERT_EQ(std::bit_cast<uint32_t>(static_cast<float>(back->float_value())), bits) << e.str();
    if (std::isnan(d.float_value())) continue;
    auto back_d = parse_expr(d.str(), none);
    ASSERT_TRUE(back_d.ok()) << d.str();
    ASSERT_EQ(*back_d, d);
  }
  for (const char* text : {"inff", "-inff", "nanf", "infd", "-0f", "1e-45f"}) {
    auto e = parse_expr(text, none);
    ASSERT_TRUE(e.ok()) << text << ": " << e.status().message();
    EXPECT_EQ(e->str(), text);
  }
}

TEST(Expr, HostileTextIsAnError) {
  auto n = symbol("n", 1, 4);
  auto symbols = [&](std::string_view name) { return name == "n" ? n : nullptr; };
  for (std::string text : {"", "(", "n +", "m", "n n", "1..2", "5x", "min(n)", "min(n,n", "select(1,2,3)", "float16(n)",
                           "99999999999999999999", "n/", "true + 1", "-"})
    EXPECT_FALSE(parse_expr(text, symbols).ok()) << text;
  EXPECT_FALSE(parse_expr(std::string(100000, '('), symbols).ok());
  EXPECT_FALSE(parse_expr(std::string(100000, '-') + "n", symbols).ok());
  std::string calls;
  for (int i = 0; i < 10000; ++i) calls += "min(n,";
  EXPECT_FALSE(parse_expr(calls, symbols).ok());
}

TEST(Expr, UnboundAndDividingByZeroAreErrors) {
  Sizes s;
  EXPECT_FALSE(evaluate(Expr(s.n), [](const Symbol&) { return std::nullopt; }).ok());
  auto r = evaluate(floor_div(Expr(s.n), Expr(s.k)),
                    [](const Symbol& p) { return std::optional<int64_t>(p.name == "k" ? 0 : 4); });
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidArgument);
}

TEST(ShapeProgram, LongSumsAndLateSymbols) {
  Expr sum(0);
  ShapeProgram program;
  std::vector<SymbolPtr> all;
  for (int i = 0; i < 300; ++i) {
    all.push_back(std::make_shared<const Symbol>(Symbol{"k" + std::to_string(i), 0, 100, i >= 150}));
    sum = sum + Expr(all.back()) * (i + 1);
  }
  const Expr early = Expr(all[0]) + 1;
  const auto slot = static_cast<size_t>(program.add(sum)), early_slot = static_cast<size_t>(program.add(early));
  EXPECT_EQ(program.add(sum), static_cast<int>(slot));  // known already
  EXPECT_TRUE(program.data_dependent(static_cast<int>(slot)));
  EXPECT_FALSE(program.data_dependent(static_cast<int>(early_slot)));
  std::vector<int64_t> values(static_cast<size_t>(program.slots()));
  std::vector<uint8_t> known(values.size());
  auto bind = [&](size_t i) {
    const auto k = static_cast<size_t>(program.symbol_slot(all[i]->name));
    values[k] = static_cast<int64_t>(i) % 7, known[k] = 1;
  };
  for (size_t i = 0; i < 150; ++i) bind(i);
  ASSERT_TRUE(program.run(values, known).ok());
  EXPECT_TRUE(known[early_slot]);
  EXPECT_FALSE(known[slot]);
  int64_t expected = 0;
  for (size_t i = 150; i < 300; ++i) bind(i);
  for (int64_t i = 0; i < 300; ++i) expected += i % 7 * (i + 1);
  ASSERT_TRUE(program.run(values, known).ok());
  EXPECT_EQ(values[slot], expected);
}

TEST(ShapeProgram, ASelectLeavesOutWhatFailsInItsOtherArm) {
  auto n = std::make_shared<const Symbol>(Symbol{"n", 0, 100}), k = std::make_shared<const Symbol>(Symbol{"k", 0, 100});
  const Expr ratio = floor_div(Expr(n), Expr(k));
  const Expr guarded = select(equal(Expr(k), Expr(0)), Expr(7), ratio + 1);
  for (const bool asked_for_itself : {false, true}) {
    ShapeProgram program;
    const auto slot = static_cast<size_t>(program.add(guarded));
    if (asked_for_itself) program.add(ratio);
    for (const int64_t divisor : {0, 5}) {
      std::vector<int64_t> values(static_cast<size_t>(program.slots()));
      std::vector<uint8_t> known(values.size());
      for (auto [name, value] : {std::pair{"n", int64_t{50}}, {"k", divisor}}) {
        const auto s = static_cast<size_t>(program.symbol_slot(name));
        values[s] = value, known[s] = 1;
      }
      const Status status = program.run(values, known);
      if (divisor == 0 && asked_for_itself) {
        EXPECT_EQ(status.kind(), ErrorKind::kInvalidArgument);
        continue;
      }
      ASSERT_TRUE(status.ok()) << status.message();
      EXPECT_EQ(known[slot], 1);
      EXPECT_EQ(values[slot], divisor == 0 ? 7 : 11);
    }
  }
}

}  // namespace
}  // namespace fovea::core
