// Plans and specialisations: what is shared, kept, counted and refused.
#include "runtime/planned_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "runtime/executor_testing.h"

namespace fovea::core {
namespace {

using testing::HasSubstr;

TEST(PlannedGraph, SpecialisationsAreSharedAndLimited) {
#ifdef FOVEA_NO_OPENMP
  GTEST_SKIP() << "oneDNN's rows refuse under the thread sanitizer";
#endif
  Rig rig(kTrunk, {.specialisations = 2, .bytes = int64_t{1} << 40});
  auto make = [&](int64_t n, int threads = 1) {
    auto s = rig.planned->specialise(Shapes{{n, 3, 16, 16}}, threads);
    EXPECT_TRUE(s.ok()) << s.status().message();
    return s.ok() ? *s : nullptr;
  };
  auto one = make(1);
  EXPECT_EQ(one, make(1));
  EXPECT_NE(one, make(1, 2));
  EXPECT_EQ(one, make(1));
  make(2);
  make(3);
  EXPECT_NE(one, make(1));  // it was dropped; whoever holds it keeps it
  EXPECT_EQ(one->values().size(), make(1)->values().size());

  Rig tight(kTrunk, {.specialisations = 10, .bytes = 1});
  auto a = tight.planned->specialise(Shapes{{1, 3, 16, 16}}, 1);
  EXPECT_EQ(*a, *tight.planned->specialise(Shapes{{1, 3, 16, 16}}, 1));  // the newest stays
  ASSERT_TRUE(tight.planned->specialise(Shapes{{2, 3, 16, 16}}, 1).ok());
  EXPECT_NE(*a, *tight.planned->specialise(Shapes{{1, 3, 16, 16}}, 1));
}

// What a specialisation keeps alive is counted, not the arenas, which contexts own.
TEST(PlannedGraph, BytesArePackedWeightsAndShapeTensors) {
  Rig rig(kTrunk);
  auto one = rig.planned->specialise(Shapes{{1, 3, 16, 16}}, 1);
  ASSERT_TRUE(one.ok()) << one.status().message();
  EXPECT_GE((*one)->bytes(), rig.planned->packed_bytes());
  auto again = rig.planned->specialise(Shapes{{64, 3, 16, 16}}, 1);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*one)->bytes() + (*again)->bytes(), rig.planned->packed_bytes());  // nothing else here
  EXPECT_LT((*again)->bytes(), (*again)->arena_bytes());
}

TEST(PlannedGraph, WhatIsReadyCanBeHadWhileAnotherIsMade) {
  Rig rig(kTrunk);
  std::function<void()> while_making;
  rig.planned =
      std::make_unique<PlannedGraph>(*rig.graph, std::vector<Recipe>{}, TimingCache{}, CacheLimits{}, nullptr, [&] {
        if (while_making) while_making();
      });
  auto one = rig.planned->specialise(Shapes{{1, 3, 16, 16}}, 1);
  ASSERT_TRUE(one.ok());
  bool had = false;
  while_making = [&] {
    std::thread other([&] { had = *rig.planned->specialise(Shapes{{1, 3, 16, 16}}, 1) == *one; });
    other.join();  // would wait for ever for a lock that is held here
  };
  ASSERT_TRUE(rig.planned->specialise(Shapes{{2, 3, 16, 16}}, 1).ok());
  EXPECT_TRUE(had);
}

// All kernels that refuse at these sizes are found at once.
TEST(Specialisation, AllRefusalsComeTogether) {
  auto graph = parsed(kTrunk);
  const KernelRow refusing = {
      .name = "refusing",
      .op = "Conv",
      .prepare = [](const PrepareContext&) -> Result<std::unique_ptr<PreparedKernel>> { return unsupported("no"); }};
  PackedWeightsMap weights;
  Assignment assignment;
  for (const auto& n : graph->nodes()) {
    if (n->inputs.empty()) continue;
    GroupChoice choice;
    choice.group = single_node_group(*n);
    if (n->is("Conv")) choice.row = &refusing;
    choice.formats.inputs.assign(choice.group.inputs.size(), Layout::kPlain);
    choice.formats.outputs.assign(choice.group.outputs.size(), Layout::kPlain);
    assignment.groups.push_back(std::move(choice));
  }
  auto plan = build_plan(*graph, std::move(assignment));
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  std::vector<Specialisation::Refusal> refusals;
  auto made = Specialisation::make(std::make_shared<const Plan>(*std::move(plan)), {{"n", 1}}, 1, weights, refusals);
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.status().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(made.status().message(), HasSubstr("Conv 'conv1' with refusing: no"));
  ASSERT_EQ(refusals.size(), 3u);
  EXPECT_NE(refusals[0].position, refusals[1].position);
  EXPECT_EQ(refusals[2].kernel, "refusing");
}

// Sizes that are too small for Winograd's tiles get another plan, which is kept for others that are.
TEST(PlannedGraph, APlanWithoutWhatRefusedIsKept) {
  const char* text = R"(symbols(h in [1,128])
graph @main(%x: float32[1,64,h,h]) -> (y = %b) {
  %w = constant float32[64,64,3,3] random(1)
  %v = constant float32[64,64,3,3] random(2)
  %a = Conv(%x, %w) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "a"
  %b = Conv(%a, %v) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "b"
})";
  Rig rig(text);
  const SymbolValues profile{{"h", 64}};
  TimingCache timings;
  Timer timer(timings, 1, false);
  PackedWeightsMap weights;
  auto assignment = choose(*rig.graph, profile, timer, weights, {});
  ASSERT_TRUE(assignment.ok()) << assignment.status().message();
  if (!std::ranges::all_of(assignment->groups, [](const GroupChoice& g) {
        return g.row && g.row->name.find("winograd") != std::string_view::npos;
      }))
    GTEST_SKIP() << "Winograd is not chosen on this machine";
  rig.planned = std::make_unique<PlannedGraph>(
      *rig.graph, std::vector<Recipe>{to_recipe(*rig.graph, profile, *assignment)}, TimingCache{}, CacheLimits{},
      [&](LogLevel, std::string_view line) { rig.log.emplace_back(line); });
  auto plan = [&](int64_t h) {
    auto s = rig.planned->specialise(SymbolValues{{"h", h}}, 1);
    EXPECT_TRUE(s.ok()) << s.status().message();
    return s.ok() ? &(*s)->plan() : nullptr;
  };
  const Plan* large = plan(64);
  EXPECT_TRUE(rig.log.empty());
  const Plan* small = plan(5);
  ASSERT_FALSE(rig.log.empty());
  EXPECT_THAT(rig.log[0], HasSubstr("choosing other kernels for 2 groups"));
  EXPECT_NE(small, large);
  EXPECT_EQ(small, plan(4));
  EXPECT_EQ(large, plan(32));
  for (int64_t h : {5, 4, 12}) rig.check_shapes({{1, 64, h, h}});
}

TEST(PlannedGraph, WrongShapesAndThreads) {
  Rig rig(kTrunk);
  auto error = [&](const Shapes& shapes, int threads, const std::string& what) {
    auto s = rig.planned->specialise(shapes, threads);
    ASSERT_FALSE(s.ok()) << what;
    EXPECT_EQ(s.status().kind(), ErrorKind::kInvalidArgument);
    EXPECT_THAT(s.status().message(), HasSubstr(what));
  };
  error({}, 1, "the model has 1 inputs, 0 shapes were given");
  error({{1, 3, 16}}, 1, "input 'x': expected shape [n,3,16,16], found [1,3,16]");
  error({{1, 3, 16, 15}}, 1, "found [1,3,16,15]");
  error({{0, 3, 16, 16}}, 1, "n is 1 to 64");
  error({{65, 3, 16, 16}}, 1, "n is 1 to 64");
  error({{-1, 3, 16, 16}}, 1, "n is 1 to 64");
  error({{1, 3, 16, 16}}, 0, "threads");
}

// A recipe that was made for one size serves others; kernels that refuse them are replaced, and the result is right.
TEST(PlannedGraph, RecipesOfAnotherProfileServe) {
  auto graph = parsed(kTrunk);
  TimingCache timings;
  Timer timer(timings, 1, false);
  PackedWeightsMap weights;
  const SymbolValues profile{{"n", 8}};
  auto assignment = choose(*graph, profile, timer, weights, {});
  ASSERT_TRUE(assignment.ok()) << assignment.status().message();
  Rig rig(kTrunk);
  const Recipe recipe = to_recipe(*graph, profile, *assignment);
  EXPECT_FALSE(recipe.groups.empty());
  rig.planned =
      std::make_unique<PlannedGraph>(*rig.graph, std::vector<Recipe>{recipe}, TimingCache{}, CacheLimits{}, nullptr);
  for (int64_t n : {8, 1, 5}) rig.check_shapes({{n, 3, 16, 16}});
}

}  // namespace
}  // namespace fovea::core
