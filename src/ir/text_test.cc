#include "ir/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "ir/parse.h"
#include "ir/test_ops.h"
#include "ir/verify.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;

std::unique_ptr<Graph> parsed(std::string_view text) {
  auto g = parse(text, test::find);
  EXPECT_TRUE(g.ok()) << g.status().message() << "\n" << text;
  if (!g.ok()) return nullptr;
  Status s = verify(**g);
  EXPECT_TRUE(s.ok()) << s.message();
  return *std::move(g);
}

std::string error_of(std::string_view text) {
  auto g = parse(text, test::find);
  if (g.ok()) return "no error";
  EXPECT_EQ(g.status().kind(), ErrorKind::kInvalidModel);
  return g.status().message();
}

constexpr std::string_view kEverything = R"(symbols(n in [1,1024], h.0 in [1,8192], k0 in [0,8388608] data)
graph @main(%image: float32[n,3,h.0,2*h.0 + 1], %"odd: name": bool[] score, %m: int32[n,h.0]) -> (boxes = %b, "a score" = %"s\x01\"q\\", again = %b) {
  %w = constant float32[2,2] {1.0, -0.0, 1e-45, inf}
  %t = constant string[2] {"a", "b\n"}
  %zeros = constant int64[100] splat(0)
  %raw = constant uint4[3] base64("IQM=")
  %nan = constant float32[1] base64("AQDAfw==") coordinate
  %q = constant int8[3] {-128, 0, 127}
  %b = Unary(%image) : float32[n,3,h.0,2*h.0 + 1] coordinate @int8(scale=[0.1, 2.0], zero_point=[0, -3], axis=1) from "Conv_0", "Relu \"1\""
  %"s\x01\"q\\", _, %other = Unary(%w) : float32[2,2] score @bfloat16, _, float32[2,2]
  %e = Every(%w, _, %t) {number=-7, flag=true, real=0.1, text="x\"y", type="int64", mode="fancy", ints=[], reals=[1.0, -inf], texts=["p", "q"], tensor=int64[2] {3, 4}} : float32[2,2]
  %d = Every(%w) : float32[2,2]
  %nz = NonZero(%m) : int64[2,k0] shape defines(k0 = %nz[1] <= h.0*n)
  %r = If(%"odd: name"; %b, %zeros) : float32[n,3,h.0,2*h.0 + 1]
    region @then(%x: float32[n,3,h.0,2*h.0 + 1], %y: int64[100]) -> (%x) {
    }
    region @else(%x: float32[n,3,h.0,2*h.0 + 1], %y: int64[100]) -> (out = %z) {
      %z = Unary(%x) : float32[n,3,h.0,2*h.0 + 1]
    }
  _ = Unary(%raw) : _
  _ = Unary(%nan) : _
  _ = Unary(%q) : _
}
)";

TEST(Text, EverythingPrintsAsItWasRead) {
  auto g = parsed(kEverything);
  ASSERT_TRUE(g);
  EXPECT_EQ(print(*g, {.full = true}), kEverything);
  EXPECT_EQ(print(*g->clone(), {.full = true}), kEverything);
}

TEST(Text, TypesLeftOutAreInferred) {
  auto g = parsed(R"(symbols(n)
    graph @main(%a: float32[n,1], %c: bool[]) -> (y = %r, k = %k) {  # comment
      %b = constant float32[3] random(5)
      %s = Binary(%a, %b)
      %k = NonZero(%s)
      %r = If(%c; %s)
        region @then(%x: float32[n,3]) -> (%x) {}
        region @else(%x: float32[n,3]) -> (%z) { %z = Unary(%x) }
    })");
  ASSERT_TRUE(g);
  EXPECT_THAT(print(*g), HasSubstr("%s = Binary(%a, %b) : float32[n,3]"));
  EXPECT_THAT(print(*g), HasSubstr("%k = NonZero(%s) : int64[2,k0] defines(k0 = %k[1] <= 3*n)"));
  auto again = parsed(print(*g, {.full = true}));
  ASSERT_TRUE(again);
  EXPECT_EQ(print(*again, {.full = true}), print(*g, {.full = true}));
}

TEST(Text, KnownElements) {
  auto g =
      parsed("symbols(n in [1,8]) graph @g(%a: int64[3] = {n, _, 2*n + 1}, %f: float32[] = {0.1f}) -> (y = %a) {}");
  ASSERT_TRUE(g);
  EXPECT_THAT(print(*g, {.known = true}), HasSubstr("%a: int64[3] = {n, _, 2*n + 1}, %f: float32[] = {0.1f}"));
  EXPECT_THAT(print(*g), testing::Not(HasSubstr("{n")));
}

// Any bits of any type come back.
TEST(Text, RandomConstantsAreBitExact) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 rng(seed);
    Graph g("main");
    for (int type = 1; type <= kMaxDType; ++type) {
      const auto t = static_cast<DType>(type);
      if (t == DType::kString) continue;
      const Dims dims =
          rng() % 4 == 0 ? Dims{} : Dims{static_cast<int64_t>(rng() % 5), static_cast<int64_t>(rng() % 4)};
      auto tensor = Tensor::allocate(t, dims);
      ASSERT_TRUE(tensor.ok());
      for (size_t i = 0; i < (*tensor)->bytes().size(); ++i)
        (*tensor)->mutable_data()[i] = static_cast<std::byte>(t == DType::kBool ? rng() % 2 : rng() % 3 ? rng() : 0xff);
      g.outputs.push_back(g.add_constant(*tensor));
      g.output_names.push_back("o" + std::to_string(type));
    }
    auto back = parse(print(g, {.full = true}), test::find);
    ASSERT_TRUE(back.ok()) << back.status().message();
    for (size_t i = 0; i < g.outputs.size(); ++i)
      ASSERT_TRUE(g.outputs[i]->constant->same_as(*(*back)->outputs[i]->constant)) << to_string(g.outputs[i]->dtype);
  }
}

TEST(Text, DigestsNeedTheirConstant) {
  auto g = parsed("graph @g() -> (y = %w) { %w = constant float32[4,5] random(1) }");
  ASSERT_TRUE(g);
  const std::string text = print(*g);
  EXPECT_THAT(text, HasSubstr(fmt::format("digest({:016x})", digest(*g->outputs[0]->constant))));
  EXPECT_THAT(error_of(text), HasSubstr("line 2:"));
  ParseOptions options;
  options.find_constant = [&](DType, const Dims&, uint64_t d) {
    return d == digest(*g->outputs[0]->constant) ? g->outputs[0]->constant : nullptr;
  };
  auto again = parse(text, test::find, options);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(print(**again), text);
}

TEST(Text, DigestSeesTypeShapeAndContents) {
  auto a = Tensor::of<int64_t>({2, 1}, {1, 2}), b = Tensor::of<int64_t>({1, 2}, {1, 2}),
       c = Tensor::of<int64_t>({2, 1}, {1, 3});
  EXPECT_NE(digest(*a), digest(*b));
  EXPECT_NE(digest(*a), digest(*c));
  EXPECT_EQ(digest(*a), digest(*Tensor::of<int64_t>({2, 1}, {1, 2})));
  EXPECT_NE(digest(*Tensor::strings({2}, {"ab", ""})), digest(*Tensor::strings({2}, {"a", "b"})));
}

TEST(Text, ErrorsNameLineColumnAndWhatWasExpected) {
  EXPECT_EQ(error_of(""), "line 1:1: expected 'graph'");
  EXPECT_EQ(error_of("graph @g(%a: float33[2]) -> (y = %a) {}"), "line 1:14: there is no element type 'float33'");
  EXPECT_EQ(error_of("graph @g(%a: float32[2]) -> (y = %a) {\n  %b = Nothing(%a)\n}"),
            "line 2:8: there is no operator 'Nothing'");
  EXPECT_EQ(error_of("graph @g(%a: float32[2]) -> (y = %a) {\n  %b = Unary(%c)\n}"),
            "line 2:14: '%c' is not defined before its use");
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %b) {}"), HasSubstr("output '%b' is not defined"));
  EXPECT_THAT(error_of("graph @g(%a: float32[n]) -> (y = %a) {}"), HasSubstr("unknown symbol 'n'"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %a) { %a = Unary(%a) }"), HasSubstr("defined twice"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %a) { %b = Unary() }"),
              HasSubstr("Unary takes 1 to 1 inputs, found 0"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %a) { %b = Binary(%a, _) }"),
              HasSubstr("input 1 is required"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %a) { %b = Every(%a) {numbr=1} }"),
              HasSubstr("Every has no attribute 'numbr'"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %a) { %b = Every(%a) {mode=\"odd\"} }"), HasSubstr("'mode'"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %a) { %b = Every(%a) {number=1.5} }"),
              HasSubstr("'1.5' is not a number of this type"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2]) -> (y = %a) { %b = Unary(%a) {x=1} }"),
              HasSubstr("Unary has no attributes"));
  EXPECT_THAT(error_of("graph @g(%a: float32[2], %b: float32[3]) -> (y = %a) { %c = Binary(%a, %b) }"),
              HasSubstr("cannot broadcast"));
  EXPECT_THAT(error_of("graph @g() -> (y = %a) { %a = constant int8[2] {1, 128} }"),
              HasSubstr("'128' is not a number of this type"));
  EXPECT_THAT(error_of("graph @g() -> (y = %a) { %a = constant int8[2] {1} }"),
              HasSubstr("expected 2 elements, found 1"));
  EXPECT_THAT(error_of("graph @g() -> (y = %a) { %a = constant int8[2] base64(\"AAA=\" }"), HasSubstr("expected ')'"));
  EXPECT_THAT(error_of("graph @g() -> (y = %a) { %a = constant int8[9223372036854775807,9] splat(1) }"),
              HasSubstr("impossible dimensions"));
  EXPECT_THAT(error_of("graph @g() -> (y = %a) { %a = constant int8[922337203685477] splat(1) }"),
              HasSubstr("constants of more than"));
  EXPECT_THAT(error_of("graph @g(%\"never closed: float32[]) -> (y = %a) {}"), HasSubstr("quotes are never closed"));
  EXPECT_THAT(error_of("symbols(true in [1,2]) graph @g() -> () {}"), HasSubstr("'true' cannot be the name"));
  EXPECT_THAT(error_of("symbols(n in [3,2]) graph @g() -> () {}"), HasSubstr("impossible bounds"));
}

TEST(Text, DeepRegionsAreRefused) {
  std::string text = "graph @g(%c: bool[]) -> (y = %c) {";
  for (int i = 0; i < 100000; ++i) text += "%y = If(%c;%c) region @t(%c: bool[]) -> (%y) {";
  EXPECT_THAT(error_of(text), HasSubstr("nested too deeply"));
}

// Cut anywhere or with a character changed: an error or another graph, never a crash; what is read can be verified or
// not.
TEST(Text, DamagedTextNeverCrashes) {
  for (size_t i = 0; i < kEverything.size(); ++i) (void)parse(kEverything.substr(0, i), test::find);
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    std::mt19937_64 rng(seed);
    std::string text(kEverything);
    for (int k = 0; k < 3; ++k) text[rng() % text.size()] = "(){}[]%,:;=_ 019ank\"\\-@<>\n"[rng() % 26];
    auto g = parse(text, test::find);
    if (g.ok()) (void)verify(**g);
  }
}

}  // namespace
}  // namespace fovea::core
