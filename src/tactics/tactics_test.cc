// Sizes, phases, the timing cache, choices and recipes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/file.h"
#include "ir/parse.h"
#include "ops/op.h"
#include "tactics/assignment.h"

namespace fovea::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Graph> parsed(const std::string& text) {
  auto g = parse(text, find_op);
  EXPECT_TRUE(g.ok()) << g.status().message();
  return g.ok() ? *std::move(g) : std::make_unique<Graph>();
}

constexpr const char* kText = R"(symbols(n in [1,64], h in [8,100])
graph @main(%x: float32[n,16,h,h]) -> (y = %y, p = %picked, e = %e) {
  %w = constant float32[16,16,3,3] random(1)
  %c = Conv(%x, %w) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "conv"
  %r = Relu(%c) from "relu"
  %y = MaxPool(%r) {kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], dilations=[1, 1]} from "pool"
  %zero = constant float32[] {0.0}
  %m = Greater(%y, %zero)
  %nz = NonZero(%m)
  %index = Transpose(%nz) {perm=[1, 0]}
  %picked = GatherND(%y, %index)
  %s = Shape(%x)
  %one = constant float32[1] {1.0}
  %e = Expand(%one, %s)
  %unused = Exp(%r)
})";

const Node& node_of(const Graph& g, const std::string& value) { return *g.find(value)->producer; }

TEST(Sizes, ValuesBoundsAndCapacities) {
  auto g = parsed(kText);
  auto sizes = Sizes::make(*g, {{"n", 2}, {"h", 10}});
  ASSERT_TRUE(sizes.ok()) << sizes.status().message();
  EXPECT_THAT(sizes->upper(g->find("y")->shape), ElementsAre(2, 16, 5, 5));
  EXPECT_THAT(sizes->upper(g->find("picked")->shape), ElementsAre(2 * 16 * 5 * 5));
  EXPECT_EQ(sizes->capacity(g->find("nz")->shape[1].str()), 800);
  EXPECT_EQ(sizes->capacity("no such symbol"), kUnbounded);

  auto error = [&](const SymbolValues& values, const std::string& what) {
    auto s = Sizes::make(*g, values);
    ASSERT_FALSE(s.ok());
    EXPECT_EQ(s.status().kind(), ErrorKind::kInvalidArgument);
    EXPECT_THAT(s.status().message(), HasSubstr(what));
  };
  error({{"n", 0}, {"h", 10}}, "size n = 0: expected 1 to 64");
  error({{"n", 1}, {"h", 101}}, "size h = 101: expected 8 to 100");
  error({{"n", 1}, {"h", 10}, {"z", 3}}, "no size 'z'; its sizes are: n, h");
}

TEST(Sizes, OfInputs) {
  auto g = parsed(kText);
  const std::vector<std::vector<int64_t>> good = {{3, 16, 9, 9}};
  auto values = bind_inputs(*g, good);
  ASSERT_TRUE(values.ok());
  EXPECT_EQ(*values, (SymbolValues{{"n", 3}, {"h", 9}}));
  auto error = [&](std::vector<std::vector<int64_t>> shapes, const std::string& what) {
    auto r = bind_inputs(*g, shapes);
    ASSERT_FALSE(r.ok());
    EXPECT_THAT(r.status().message(), HasSubstr(what));
  };
  error({{3, 16, 9, 8}}, "(h is 9 elsewhere)");
  error({{3, 16, 9}}, "input 'x': expected shape [n,16,h,h], found [3,16,9]");
  error({{3, 15, 9, 9}}, "found [3,15,9,9]");
  error({{3, 16, 7, 7}}, "(h is 8 to 100)");
}

TEST(Phases, NeverOnceOrInEveryRun) {
  auto g = parsed(kText);
  const Phases phases = find_phases(*g);
  for (const char* name : {"c", "r", "y", "m", "nz", "index", "picked"})
    EXPECT_EQ(phases.of(node_of(*g, name)), Phase::kRun) << name;
  EXPECT_EQ(phases.of(node_of(*g, "e")), Phase::kShape);
  EXPECT_EQ(phases.of(node_of(*g, "s")), Phase::kNever);  // written from its known elements
  EXPECT_TRUE(phases.materialised.contains(g->find("s")));
  EXPECT_EQ(phases.of(node_of(*g, "unused")), Phase::kNever);
  EXPECT_TRUE(phases.shape_only(*g->find("e")));
  EXPECT_TRUE(phases.shape_only(*g->find("w")));
  EXPECT_FALSE(phases.shape_only(*g->find("x")));
}

// ---- timing cache

class CacheFile : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() / fmt::format("fovea_tactics_test_{}", ::getpid())).string();
  }
  void TearDown() override { std::filesystem::remove(path_); }
  Status load(const std::string& text) {
    EXPECT_TRUE(write_file(path_, text).ok());
    TimingCache cache;
    return cache.load(path_);
  }
  std::string path_;
};

TEST_F(CacheFile, ComesBackAsItWas) {
  TimingCache cache;
  ASSERT_TRUE(cache.load(path_).ok());  // no such file: empty
  EXPECT_EQ(cache.size(), 0u);
  cache.put("a", {0.125, "", "engine 3"});
  cache.put("b", {-1, "channels=3\nis not a multiple of 16", ""});
  cache.put("d", {2, "", "", {{"engine 4", 1024}, {"engine 5 with a name", 1 << 20}}});
  ASSERT_TRUE(cache.save(path_).ok());
  TimingCache back;
  ASSERT_TRUE(back.load(path_).ok());
  EXPECT_EQ(back.size(), 3u);
  ASSERT_TRUE(back.find("d"));
  ASSERT_EQ(back.find("d")->over_limit.size(), 2u);
  EXPECT_EQ(back.find("d")->variant, "");
  EXPECT_EQ(back.find("d")->over_limit[1].name, "engine 5 with a name");
  EXPECT_EQ(back.find("d")->over_limit[1].workspace_bytes, 1 << 20);
  ASSERT_TRUE(back.find("a"));
  EXPECT_EQ(back.find("a")->ms, 0.125);
  EXPECT_EQ(back.find("a")->refusal, "");
  EXPECT_EQ(back.find("a")->variant, "engine 3");
  EXPECT_EQ(back.find("b")->refusal, "channels=3 is not a multiple of 16");
  EXPECT_FALSE(back.find("c"));
  const std::string first = *read_file(path_);
  ASSERT_TRUE(back.save(path_).ok());
  EXPECT_EQ(*read_file(path_), first);
}

TEST_F(CacheFile, LinesOfAnotherMachineAreKeptButNotUsed) {
  const std::string text = "fovea timing cache 1\nAnother CPU;x;y|a\t0.5\n";
  ASSERT_TRUE(write_file(path_, text).ok());
  TimingCache cache;
  ASSERT_TRUE(cache.load(path_).ok());
  EXPECT_FALSE(cache.find("a"));
  ASSERT_TRUE(cache.save(path_).ok());
  EXPECT_EQ(*read_file(path_), text);
}

TEST_F(CacheFile, MalformedLines) {
  const std::string header = "fovea timing cache 1\n";
  auto error = [&](const std::string& text, const std::string& what) {
    Status s = load(text);
    ASSERT_FALSE(s.ok()) << text;
    EXPECT_EQ(s.kind(), ErrorKind::kInvalidArgument);
    EXPECT_THAT(s.message(), HasSubstr(path_));
    EXPECT_THAT(s.message(), HasSubstr(what));
  };
  EXPECT_TRUE(load(header).ok());
  EXPECT_TRUE(load(header + "\n\nk\t1.5").ok());
  EXPECT_TRUE(load(header + "k\trefused: because\n").ok());
  error("", "expected a timing cache (first line 'fovea timing cache 1')");
  error("fovea timing cache 2\n", "expected a timing cache");
  error(header + "k 1.5\n", ":2: expected 'key<tab>milliseconds'");
  error(header + "k\t1\nk\t\n", ":3: expected 'key<tab>milliseconds', found ''");
  error(header + "k\tfast\n", "found 'fast'");
  error(header + "k\t1.5x\n", "found '1.5x'");
  error(header + "k\t-1\n", "found '-1'");
  error(header + "k\tnan\n", "found 'nan'");
  error(header + "k\tinf\n", "found 'inf'");
  error(header + "k\t \n", "found ' '");
  error(header + "k\t1\tv\tmany bytes\n", "found 'many bytes'");
  error(header + std::string("k\t1\0", 4) + "5\n", ":2:");
}

// ---- choose

struct Choice {
  std::unique_ptr<Graph> graph;
  Assignment assignment;
  explicit Choice(const std::string& text, const ChooseOptions& options = {},
                  const SymbolValues& profile = {{"n", 1}, {"h", 16}})
      : graph(parsed(text)) {
    TimingCache timings;
    Timer timer(timings, 1, false);
    PackedWeightsMap weights;
    auto a = choose(*graph, profile, timer, weights, options);
    EXPECT_TRUE(a.ok()) << a.status().message();
    EXPECT_EQ(timer.measured(), 0);
    if (a.ok()) assignment = *std::move(a);
  }
  const GroupChoice& of(const std::string& value) const {
    for (const GroupChoice& g : assignment.groups)
      for (const Node* n : g.group.nodes)
        if (n->output() && n->output()->name == value) return g;
    ADD_FAILURE() << "no group makes " << value;
    return assignment.groups[0];
  }
};

TEST(Choose, GroupsAndTheReferenceLast) {
#ifdef FOVEA_NO_OPENMP
  GTEST_SKIP() << "oneDNN's rows refuse under the thread sanitizer";
#endif
  Choice c(kText);
  const GroupChoice& conv = c.of("c");
  ASSERT_TRUE(conv.row);
  EXPECT_EQ(conv.row->op, "Conv");
  EXPECT_EQ(&conv, &c.of("r"));  // the ReLU is in it
  EXPECT_FALSE(c.of("picked").row);
  EXPECT_EQ(c.of("picked").ms, -1);
  for (const GroupChoice& g : c.assignment.groups) EXPECT_EQ(g.ms, -1) << "nothing was measured";
  // In order of the last nodes; each node once; nothing for what does not run.
  const auto positions = node_positions(*c.graph);
  int last = -1;
  std::set<const Node*> seen;
  for (const GroupChoice& g : c.assignment.groups) {
    EXPECT_GT(positions.at(g.group.nodes.back()), last);
    last = positions.at(g.group.nodes.back());
    for (const Node* n : g.group.nodes) EXPECT_TRUE(seen.insert(n).second);
    EXPECT_EQ(g.formats.inputs.size(), g.group.inputs.size());
    EXPECT_EQ(g.formats.outputs.size(), g.group.outputs.size());
  }
  EXPECT_FALSE(seen.contains(&node_of(*c.graph, "e")));
  EXPECT_FALSE(seen.contains(&node_of(*c.graph, "unused")));
}

TEST(Choose, BannedKernelsAreNotTaken) {
#ifdef FOVEA_NO_OPENMP
  GTEST_SKIP() << "oneDNN's rows refuse under the thread sanitizer";
#endif
  ChooseOptions options;
  Choice first(kText);
  for (int i = 0; i < 20; ++i) {
    Choice c(kText, options);
    const GroupChoice& conv = c.of("c");
    if (!conv.row) break;
    // The group may be smaller without the kernel: a ban is for a group's last node.
    const int position = node_positions(*c.graph).at(conv.group.nodes.back());
    ASSERT_TRUE(options.banned.try_emplace({position, std::string(conv.row->name)}, "banned").second)
        << conv.row->name << " was banned";
  }
  EXPECT_FALSE(Choice(kText, options).of("c").row);
  EXPECT_TRUE(first.of("c").row);
}

TEST(Choose, CandidatesAndRefusalsForTheReport) {
  ChooseOptions options;
  options.keep_candidates = true;
  Choice c(kText, options);
  EXPECT_FALSE(c.of("c").candidates.empty());
  for (const CandidateNote& n : c.of("c").candidates) EXPECT_TRUE(n.ms >= 0 || !n.refusal.empty()) << n.kernel;
}

TEST(Choose, TheSameTwice) {
  Choice a(kText), b(kText);
  ASSERT_EQ(a.assignment.groups.size(), b.assignment.groups.size());
  for (size_t i = 0; i < a.assignment.groups.size(); ++i) {
    EXPECT_EQ(a.assignment.groups[i].row, b.assignment.groups[i].row);
    EXPECT_EQ(a.assignment.groups[i].formats.inputs, b.assignment.groups[i].formats.inputs);
  }
}

TEST(Choose, AWrongProfileIsTheCallersMistake) {
  auto g = parsed(kText);
  TimingCache timings;
  Timer timer(timings, 1, false);
  PackedWeightsMap weights;
  EXPECT_FALSE(choose(*g, {{"n", 0}, {"h", 16}}, timer, weights, {}).ok());
}

// ---- packed weights

TEST(PackedWeights, OfOneNameAreThoseThatCameFirst) {
  PackedWeightsMap weights;
  auto first = std::make_shared<int>(1);
  EXPECT_EQ(weights.find("w"), nullptr);
  EXPECT_EQ(weights.put("w", first, 10), first);
  EXPECT_EQ(weights.put("w", std::make_shared<int>(2), 10), first);  // another thread, a little later
  EXPECT_EQ(weights.find("w"), first);
  EXPECT_EQ(weights.bytes(), 10);
  first.reset();  // nobody uses them any more
  EXPECT_EQ(weights.bytes(), 0);
  auto next = std::make_shared<int>(3);
  EXPECT_EQ(weights.put("w", next, 12), next);
  EXPECT_EQ(weights.bytes(), 12);
}

// ---- recipes

TEST(Recipe, ComesBackAsTheSameChoice) {
  Choice c(kText);
  const Recipe recipe = to_recipe(*c.graph, {{"n", 1}}, c.assignment);
  auto back = from_recipe(*c.graph, recipe);
  ASSERT_TRUE(back.ok()) << back.status().message();
  ASSERT_EQ(back->groups.size(), c.assignment.groups.size());
  for (size_t i = 0; i < back->groups.size(); ++i) {
    const GroupChoice &a = back->groups[i], &b = c.assignment.groups[i];
    EXPECT_EQ(a.group.nodes, b.group.nodes);
    EXPECT_EQ(a.row, b.row);
    EXPECT_EQ(a.formats.inputs, b.formats.inputs);
    EXPECT_EQ(a.formats.outputs, b.formats.outputs);
  }
}

TEST(Recipe, WhatDoesNotFitIsRefused) {
#ifdef FOVEA_NO_OPENMP
  GTEST_SKIP() << "oneDNN's rows refuse under the thread sanitizer";
#endif
  Choice c(kText);
  const Recipe good = to_recipe(*c.graph, {{"n", 1}}, c.assignment);
  ASSERT_FALSE(good.groups.empty());
  auto error = [&](const std::function<void(Recipe&)>& change, const std::string& what) {
    Recipe recipe = good;
    change(recipe);
    auto r = from_recipe(*c.graph, recipe);
    ASSERT_FALSE(r.ok()) << what;
    EXPECT_EQ(r.status().kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(r.status().message(), HasSubstr(what));
  };
  error([](Recipe& r) { r.groups[0].kernel = "gone"; }, "kernel 'gone' does not exist in this build");
  error([](Recipe& r) { r.groups[0].revision = 99; }, "the recipe has 99");
  error([](Recipe& r) { r.groups[0].nodes.clear(); }, "names a node that the graph does not have");
  error([](Recipe& r) { r.groups[0].nodes[0] = -1; }, "names a node that the graph does not have");
  error([](Recipe& r) { r.groups[0].nodes[0] = 1 << 20; }, "names a node that the graph does not have");
  error([](Recipe& r) { r.groups[0].nodes.push_back(3); }, "does not cover Conv 'conv' as the recipe has it");
  error([](Recipe& r) { r.groups[0].formats.outputs.clear(); }, "does not cover");
  // A layout that the kernel does not offer.
  error(
      [](Recipe& r) {
        r.groups[0].formats.outputs[0] = r.groups[0].formats.outputs[0] == Layout::kNhwc ? Layout::kC8 : Layout::kNhwc;
      },
      "does not cover");
  // The convolution's kernel for the pool.
  error([](Recipe& r) { r.groups[1].kernel = r.groups[0].kernel, r.groups[1].revision = r.groups[0].revision; },
        "does not cover");
  error([](Recipe& r) { r.groups.push_back(r.groups[0]); }, "twice");
}

}  // namespace
}  // namespace fovea::core
