// Plans as text: which steps, whose memory; and the placement of buffers.
#include "plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ir/parse.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;
using testing::Not;

// ---- place()

TEST(Place, NothingAliveTogetherOverlaps) {
  std::mt19937 rng(5);
  int overlaps = 0, all_overlaps = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Interval> intervals;
    for (uint32_t i = 0; i < 1 + rng() % 40; ++i) {
      const int first = static_cast<int>(rng() % 50), last = first + static_cast<int>(rng() % 12);
      intervals.push_back({first, last, static_cast<int64_t>(rng() % 5 == 0 ? rng() % 3 : rng() % 100000)});
    }
    for (Interval& i : intervals) {
      const auto next = std::ranges::find(intervals, i.last, &Interval::first);
      if (rng() % 2 && next != intervals.end() && &*next != &i)
        i.reached_by = static_cast<int>(next - intervals.begin()),
        i.lead = static_cast<int64_t>(rng() % 100000) % (next->bytes + 1);
    }
    const int64_t total = place(intervals);
    int64_t sum = 0;
    std::vector<int64_t> alive(80, 0);
    for (size_t i = 0; i < intervals.size(); ++i) {
      const Interval& a = intervals[i];
      EXPECT_GE(a.offset, 0);
      EXPECT_EQ(a.offset % 64, 0);
      EXPECT_LE(a.offset + a.bytes, total);
      const int64_t rounded = (a.bytes + 63) / 64 * 64;
      sum += rounded;
      for (int p = a.first; p <= a.last; ++p) alive[static_cast<size_t>(p)] += rounded;
      for (size_t k = 0; k < i; ++k) {
        const Interval& b = intervals[k];
        const bool together = a.first <= b.last && b.first <= a.last && a.bytes > 0 && b.bytes > 0;
        const bool overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
        const auto may = [&](const Interval& from, const Interval& to) {
          return from.reached_by == &to - intervals.data() && from.last == to.first &&
                 from.offset >= to.offset + from.lead;
        };
        if (together && overlap) ++overlaps;
        EXPECT_FALSE(together && overlap && !may(a, b) && !may(b, a)) << "round " << round << ": " << i << " and " << k;
      }
    }
    EXPECT_LE(total, sum);
    if (overlaps == 0) EXPECT_GE(total, *std::max_element(alive.begin(), alive.end()));
    if (std::ranges::none_of(intervals, [](const Interval& i) { return i.reached_by >= 0; }))
      EXPECT_EQ(fullest(intervals).bytes, *std::max_element(alive.begin(), alive.end()));
    EXPECT_GE(total, fullest(intervals).bytes);
    all_overlaps += std::exchange(overlaps, 0);
  }
  EXPECT_GT(all_overlaps, 50);
}

TEST(Place, AnOutputReachesIntoTheInputOfNoFurtherUse) {
  const auto needed = [](int last_of_input) {
    std::vector<Interval> i = {{0, last_of_input, 1000}, {1, 2, 4000}};
    i[0].reached_by = 1, i[0].lead = 3000;
    return place(i);
  };
  EXPECT_EQ(needed(1), 4032);  // 3008 + 1024
  EXPECT_EQ(needed(2), 4032 + 1024);
}

// Two stages of a residual network, in millions of bytes: where the second begins (step 6) its input, a part of it and
// its result would take 331, one after the other.
TEST(Place, TheNextStageReachesIntoTheLastOne) {
  constexpr int64_t kMega = 64 * 15625;
  std::vector<Interval> i = {{0, 2, 184 * kMega}, {0, 1, 92 * kMega}, {1, 3, 24 * kMega},   // wide, middle, middle
                             {2, 6, 95 * kMega},  {4, 5, 47 * kMega}, {5, 6, 47 * kMega},   // the first stage
                             {6, 9, 189 * kMega}, {7, 8, 47 * kMega}, {8, 9, 47 * kMega}};  // the second
  std::vector<Interval> apart = i;
  EXPECT_EQ(place(apart), 331 * kMega);
  i[3].reached_by = 6, i[3].lead = 126 * kMega;
  EXPECT_LE(place(i), 304 * kMega);
}

TEST(Place, MemoryIsUsedAgain) {
  std::vector<Interval> chain = {{0, 1, 1000}, {1, 2, 1000}, {2, 3, 1000}, {3, 4, 1000}};
  EXPECT_EQ(place(chain), 2 * 1024);
  std::vector<Interval> none;
  EXPECT_EQ(place(none), 0);
}

// ---- build_plan()

struct Planned {
  std::unique_ptr<Graph> graph;
  Plan plan;
  std::string text;

  Planned(const std::string& source, const SymbolValues& profile) {
    auto g = parse(source, find_op);
    EXPECT_TRUE(g.ok()) << g.status().message();
    if (!g.ok()) return;
    graph = *std::move(g);
    TimingCache timings;
    Timer timer(timings, 1, false);
    PackedWeightsMap weights;
    auto assignment = choose(*graph, profile, timer, weights, {});
    EXPECT_TRUE(assignment.ok()) << assignment.status().message();
    if (!assignment.ok()) return;
    auto p = build_plan(*graph, *std::move(assignment));
    EXPECT_TRUE(p.ok()) << p.status().message();
    if (!p.ok()) return;
    plan = *std::move(p);
    text = to_string(plan);
  }
  const PlanTensor& of(const std::string& name) const {
    for (const PlanTensor& t : plan.tensors)
      if (t.value->name == name) return t;
    ADD_FAILURE() << "no tensor " << name << "\n" << text;
    return plan.tensors[0];
  }
  int steps(Step::Kind kind) const { return count(plan.run_steps, kind); }
  static int count(const std::vector<Step>& steps, Step::Kind kind) {
    int n = 0;
    for (const Step& s : steps) n += (s.kind == kind) + count(s.branches[0], kind) + count(s.branches[1], kind);
    return n;
  }
};

TEST(BuildPlan, ReshapesAreViews) {
  Planned p(R"(symbols(n in [1,64])
graph @main(%x: float32[n,4,6]) -> (y = %y, z = %z) {
  %r = Relu(%x)
  %to = constant int64[2] {0, -1}
  %flat = Reshape(%r, %to)
  %y = Softmax(%flat) {axis=1}
  %z = Reshape(%x, %to)
})",
            {{"n", 2}});
  EXPECT_EQ(p.of("flat").buffer, p.of("r").buffer);
  EXPECT_EQ(p.of("z").home, PlanTensor::Home::kInput);
  EXPECT_EQ(p.plan.views, 2);
  EXPECT_EQ(p.plan.copies, 0);
  EXPECT_EQ(p.plan.run_steps.size(), 2u);
}

TEST(BuildPlan, SlicesAreViewsWhereTheyMayBe) {
  Planned p(R"(symbols(n in [4,64], m in [1,64])
graph @main(%x: float32[n,8], %y: float32[m,8]) -> (a = %a, c = %c2, d = %d2) {
  %r = Relu(%x)
  %q = Relu(%y)
  %two = constant int64[1] {2}
  %minus = constant int64[1] {-2}
  %end = constant int64[1] {100}
  %zero = constant int64[1] {0}
  %a = Slice(%r, %two, %end, %zero)
  %c = Slice(%r, %minus, %end, %zero)
  %c2 = Relu(%c)
  %d = Slice(%q, %two, %end, %zero)
  %d2 = Relu(%d)
})",
            {{"n", 5}, {"m", 5}});
  const PlanTensor& a = p.of("a");
  EXPECT_EQ(a.buffer, p.of("r").buffer);  // the first tensor of the value is the view; the output is its dense copy
  EXPECT_FALSE(a.strides.empty());
  EXPECT_EQ(p.plan.copies, 1);
  EXPECT_TRUE(p.plan.tensors[static_cast<size_t>(p.plan.outputs[0])].strides.empty());
  EXPECT_NE(p.of("c").buffer, p.of("r").buffer);  // from the back: the kernel clamps
  EXPECT_NE(p.of("d").buffer, p.of("q").buffer);  // m may be less than 2
}

constexpr const char* kResidual = R"(symbols(n in [1,64])
graph @main(%x: float32[n,16,12,12]) -> (y = %out) {{
  %w = constant float32[16,16,3,3] random(1)
  %a = Conv(%x, %w) {{strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]}}
  %b = Conv(%a, %w) {{strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]}}
  %d = Conv(%b, %w) {{strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]}}
  %s = Add(%d, {})
  %c = Conv(%s, %w) {{strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]}}
  %out = {}
}})";

// The residual that nobody needs any more becomes the output; one that is needed is copied first.
TEST(BuildPlan, ResidualsAreTakenOverOrCopied) {
#ifdef FOVEA_NO_OPENMP
  GTEST_SKIP() << "oneDNN's rows refuse under the thread sanitizer";
#endif
  const SymbolValues one{{"n", 1}};
  Planned last(fmt::format(kResidual, "%a", "Relu(%c)"), one),
      needed(fmt::format(kResidual, "%a", "Concat(%c, %a) {axis=1}"), one);
  Planned own(fmt::format(kResidual, "%b", "Relu(%c)"), one);  // conv(b) + b reads b while it would be written
  auto residuals = [](const Planned& p, bool copied) {
    int n = 0;
    for (const Step& s : p.plan.run_steps)
      n += s.choice >= 0 && p.plan.assignment.groups[static_cast<size_t>(s.choice)].group.residual >= 0 &&
           s.copy_residual == copied;
    return n;
  };
  ASSERT_EQ(residuals(last, false) + residuals(last, true), 1) << last.text;
  EXPECT_EQ(residuals(last, false), 1) << last.text;
  EXPECT_EQ(residuals(needed, true), 1) << needed.text;
  EXPECT_EQ(residuals(own, true), 1) << own.text;
  EXPECT_THAT(needed.text, HasSubstr("(copies residual)"));
}

TEST(BuildPlan, ShapesAreWrittenNotComputed) {
  Planned p(R"(symbols(n in [1,64])
graph @main(%x: float32[n,4]) -> (s = %s, y = %y) {
  %s = Shape(%x)
  %one = constant float32[1] {1.0}
  %e = Expand(%one, %s)
  %y = Add(%x, %e)
})",
            {{"n", 2}});
  EXPECT_THAT(p.text, HasSubstr("materialise -> %s:"));
  EXPECT_EQ(p.plan.run_steps.size(), 1u) << p.text;  // Expand depends on sizes alone: once for each shape
  EXPECT_TRUE(p.plan.buffers[static_cast<size_t>(p.of("e").buffer)].shape_phase);
}

TEST(BuildPlan, BranchesArePlansOfTheirOwn) {
  Planned p(R"(symbols(n in [1,64])
graph @main(%x: float32[n,4], %c: bool[]) -> (y = %y) {
  %r = Relu(%x)
  %y = If(%c; %r, %x)
    region @then(%a: float32[n,4], %b: float32[n,4]) -> (%s) {
      %s = Add(%a, %b)
    }
    region @else(%a: float32[n,4], %b: float32[n,4]) -> (%b) {
    }
})",
            {{"n", 2}});
  ASSERT_EQ(p.steps(Step::Kind::kIf), 1);
  EXPECT_EQ(p.steps(Step::Kind::kCopy), 2);
  EXPECT_THAT(p.text, HasSubstr("branch\n"));
  // Memory that a branch reads lives until the last branch is over.
  const PlanBuffer& r = p.plan.buffers[static_cast<size_t>(p.of("r").buffer)];
  EXPECT_GT(r.last, r.first);
}

TEST(BuildPlan, NothingRunsForWhatNobodyNeeds) {
  Planned p(R"(graph @main(%x: float32[4]) -> (x2 = %x, k = %k) {
  %k = constant float32[1] {1.0}
  %r = Relu(%x)
  %l = Log(%r)
})",
            {});
  EXPECT_TRUE(p.plan.run_steps.empty()) << p.text;
  EXPECT_EQ(p.plan.outputs.size(), 2u);
}

}  // namespace
}  // namespace fovea::core
