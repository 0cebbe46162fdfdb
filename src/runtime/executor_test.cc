// Whole small graphs run by the executor against the interpreter, at several sizes from one PlannedGraph.
#include "runtime/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <new>
#include <random>
#include <thread>

#include "backends/cpu/target.h"
#include "interpreter/interpreter.h"
#include "ir/parse.h"
#include "ops/op.h"
#include "runtime/loaded_engine.h"

// Every allocation of this program by operator new is counted; libraries written in C are not. The sanitizers bring
// operators of their own, which find more than a count would.
namespace {
std::atomic<int64_t> allocations{0};
}  // namespace
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounting = false;
#else
constexpr bool kCounting = true;
namespace {
void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* p = nullptr;
  if (::posix_memalign(&p, std::max(alignment, sizeof(void*)), std::max<std::size_t>(size, 1)) != 0)
    throw std::bad_alloc();
  return p;
}
}  // namespace
void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t a) { return counted(size, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t size, std::align_val_t a) { return counted(size, static_cast<std::size_t>(a)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, alignof(std::max_align_t));
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return counted(size, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
  return counted(size, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
#endif

namespace fovea::core {
namespace {

using testing::HasSubstr;

std::unique_ptr<Graph> parsed(const std::string& text) {
  auto g = parse(text, find_op);
  EXPECT_TRUE(g.ok()) << g.status().message() << "\n" << text;
  return g.ok() ? *std::move(g) : std::make_unique<Graph>();
}

TensorPtr random_tensor(DType type, const Dims& dims, std::mt19937& rng) {
  auto t = Tensor::allocate(type, dims);
  EXPECT_TRUE(t.ok());
  std::normal_distribution<float> normal;
  std::byte* data = (*t)->mutable_data();
  for (int64_t i = 0; i < (*t)->count(); ++i) {
    if (type == DType::kFloat32) reinterpret_cast<float*>(data)[i] = normal(rng);
    else if (type == DType::kInt64) reinterpret_cast<int64_t*>(data)[i] = static_cast<int64_t>(rng() % 4);
    else if (type == DType::kBool) data[i] = std::byte(rng() % 2);
    else ADD_FAILURE() << "no random " << to_string(type);
  }
  return *t;
}

// 1e-5 of the output's root mean square for each operator on the way (docs/architecture.md); integers exactly.
void expect_same(const TensorRef& found, const Tensor& want, int64_t operators, const std::string& where) {
  ASSERT_EQ(found.dtype, want.dtype()) << where;
  ASSERT_EQ(Dims(found.shape().begin(), found.shape().end()), want.dims()) << where;
  ASSERT_TRUE(want.count() == 0 || found.dense()) << where;
  if (want.count() == 0) return;
  if (want.dtype() != DType::kFloat32) {
    EXPECT_EQ(std::memcmp(found.data, want.bytes().data(), want.bytes().size()), 0) << where;
    return;
  }
  double squares = 0;
  for (float v : want.as<float>()) squares += static_cast<double>(v) * v;
  const double tolerance =
      1e-5 * static_cast<double>(operators) * std::sqrt(squares / static_cast<double>(want.count())) + 1e-30;
  for (int64_t i = 0; i < want.count(); ++i) {
    const float a = found.as<float>()[i], b = want.as<float>()[static_cast<size_t>(i)];
    ASSERT_LE(std::fabs(static_cast<double>(a) - b), tolerance)
        << where << ", element " << i << ": " << a << " for " << b;
  }
}

using Shapes = std::vector<std::vector<int64_t>>;

// A parsed graph with its plans, and one executor.
struct Rig {
  std::unique_ptr<Graph> graph;
  std::vector<std::string> log;
  std::unique_ptr<PlannedGraph> planned;
  Executor executor;
  std::mt19937 rng{20240607};

  explicit Rig(const std::string& text, CacheLimits limits = {}) : graph(parsed(text)) {
    planned = std::make_unique<PlannedGraph>(*graph, std::vector<Recipe>{}, TimingCache{}, limits,
                                             [this](LogLevel, std::string_view line) { log.emplace_back(line); });
  }

  Shapes shapes_of(std::span<const TensorPtr> inputs) {
    Shapes shapes;
    for (const TensorPtr& t : inputs) shapes.push_back(t->dims());
    return shapes;
  }
  std::vector<TensorPtr> random_inputs(const Shapes& shapes) {
    std::vector<TensorPtr> inputs;
    for (size_t i = 0; i < shapes.size(); ++i) inputs.push_back(random_tensor(graph->inputs[i]->dtype, shapes[i], rng));
    return inputs;
  }
  static std::vector<TensorRef> refs(std::span<const TensorPtr> inputs) {
    std::vector<TensorRef> out;
    for (const TensorPtr& t : inputs) out.push_back(TensorRef::of(*t));
    return out;
  }
  Result<std::vector<TensorRef>> run(std::span<const TensorPtr> inputs, int threads = 1) {
    FOVEA_TRY_SET(auto spec, planned->specialise(shapes_of(inputs), threads));
    FOVEA_TRY(executor.bind(spec));
    std::vector<TensorRef> outputs(graph->outputs.size());
    FOVEA_TRY(executor.run(refs(inputs), outputs));
    return outputs;
  }
  void check(std::span<const TensorPtr> inputs, const std::string& what = "") {
    auto want = evaluate_graph(*graph, inputs);
    ASSERT_TRUE(want.ok()) << want.status().message();
    auto found = run(inputs);
    ASSERT_TRUE(found.ok()) << found.status().message();
    for (size_t i = 0; i < want->outputs.size(); ++i)
      expect_same((*found)[i], *want->outputs[i], graph->node_count(),
                  fmt::format("output {} {} of shapes {}", graph->output_names[i], what, shapes_text(inputs)));
  }
  void check_shapes(const Shapes& shapes) {
    for (int again = 0; again < 2; ++again) check(random_inputs(shapes));
  }
  std::string shapes_text(std::span<const TensorPtr> inputs) {
    std::string s;
    for (const TensorPtr& t : inputs) s += fmt::format("[{}]", fmt::join(t->dims(), ","));
    return s;
  }
  const Plan& plan() { return executor.specialisation()->plan(); }
};

constexpr const char* kTrunk = R"(symbols(n in [1,64])
graph @main(%x: float32[n,3,16,16]) -> (y = %y, p = %prob, head = %flat) {
  %w1 = constant float32[16,3,3,3] random(1)
  %b1 = constant float32[16] random(2)
  %c1 = Conv(%x, %w1, %b1) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "conv1"
  %r1 = Relu(%c1) from "relu1"
  %w2 = constant float32[16,16,3,3] random(3)
  %c2 = Conv(%r1, %w2) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]} from "conv2"
  %s = Add(%c2, %r1) from "residual"
  %r2 = Relu(%s) from "relu2"
  %again = Add(%r2, %r1) from "residual still needed"
  %pool = MaxPool(%again) {kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], dilations=[1, 1]} from "pool"
  %w3 = constant float32[12,16,1,1] random(4)
  %y = Conv(%pool, %w3) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]} from "head"
  %t = Transpose(%y) {perm=[0, 2, 3, 1]}
  %to = constant int64[3] {0, -1, 4}
  %flat = Reshape(%t, %to)
  %to2 = constant int64[3] {0, -1, 4}
  %pt = Transpose(%pool) {perm=[0, 2, 3, 1]}
  %pf = Reshape(%pt, %to2)
  %both = Concat(%flat, %pf) {axis=1}
  %prob = Softmax(%both) {axis=2}
})";

TEST(Executor, ConvolutionsPoolsHeadsAtSeveralBatchSizes) {
  Rig rig(kTrunk);
  for (int64_t n : {1, 3, 8, 1}) rig.check_shapes({{n, 3, 16, 16}});
}

TEST(Executor, EveryKernelIsTheReferenceWhereNothingElseFits) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float32[n,6,4]) -> (a = %a, b = %b, c = %c, d = %d, e = %x, k = %k) {
  %k = constant float32[2] {1.0, 2.0}
  %s = constant int64[2] {1, 0}
  %e = constant int64[2] {5, 3}
  %axes = constant int64[2] {1, 2}
  %steps = constant int64[2] {2, 1}
  %a = Slice(%x, %s, %e, %axes, %steps)
  %r = Relu(%x)
  %b = Slice(%r, %s, %e, %axes, %steps)
  %sum = Add(%b, %a)
  %c = Softmax(%sum) {axis=1}
  %t = Transpose(%r) {perm=[2, 0, 1]}
  %to = constant int64[2] {4, -1}
  %d = Reshape(%t, %to)
})");
  for (int64_t n : {1, 2, 5}) rig.check_shapes({{n, 6, 4}});
}

TEST(Executor, SlicesAreViewsThatReadersStride) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float32[n,8,5]) -> (y = %y, z = %z) {
  %r = Relu(%x)
  %s = constant int64[1] {2}
  %e = constant int64[1] {7}
  %axes = constant int64[1] {1}
  %steps = constant int64[1] {2}
  %v = Slice(%r, %s, %e, %axes, %steps)
  %y = Mul(%v, %v)
  %to = constant int64[2] {0, -1}
  %z = Reshape(%v, %to)
})");
  rig.check_shapes({{3, 8, 5}});
  EXPECT_GE(rig.plan().views, 2);
  rig.check_shapes({{1, 8, 5}});
}

constexpr const char* kPicked = R"(symbols(n in [1,64])
graph @main(%x: float32[n,9], %limit: float32[]) -> (picked = %picked, twice = %twice, index = %index, rows = %rows) {
  %m = Greater(%x, %limit)
  %nz = NonZero(%m)
  %index = Transpose(%nz) {perm=[1, 0]}
  %picked = GatherND(%x, %index)
  %two = constant float32[] {2.0}
  %r = Relu(%picked)
  %twice = Mul(%r, %two)
  %to = constant int64[2] {-1, 1}
  %column = Reshape(%twice, %to)
  %rows = Concat(%column, %column) {axis=0}
})";

TEST(Executor, SizesThatDataDecides) {
  Rig rig(kPicked);
  for (int64_t n : {1, 4, 2})
    for (float limit : {0.0f, 1.0f, -9.0f, 9.0f}) {
      std::vector<TensorPtr> in = rig.random_inputs({{n, 9}, {}});
      in[1] = Tensor::scalar(limit);
      rig.check(in, fmt::format("limit {}", limit));
    }
}

constexpr const char* kBranches = R"(symbols(n in [1,64])
graph @main(%x: float32[n,4], %m: bool[n], %c: bool[]) -> (y = %y, z = %z) {
  %nz = NonZero(%m)
  %index = Transpose(%nz) {perm=[1, 0]}
  %picked = GatherND(%x, %index)
  %r = Relu(%x)
  %y = If(%c; %r, %x)
    region @then(%a: float32[n,4], %b: float32[n,4]) -> (%s) {
      %s = Add(%a, %b)
    }
    region @else(%a: float32[n,4], %b: float32[n,4]) -> (%b) {
    }
  %z = If(%c; %picked, %r)
    region @then(%a: float32[k0,4], %b: float32[n,4]) -> (%t) {
      %t = Softmax(%a) {axis=1}
    }
    region @else(%a: float32[k0,4], %b: float32[n,4]) -> (%none) {
      %none = constant float32[0,4] {}
    }
})";

TEST(Executor, BranchesOfIf) {
  Rig rig(kBranches);
  for (int64_t n : {1, 5, 3})
    for (bool c : {true, false}) {
      std::vector<TensorPtr> in = rig.random_inputs({{n, 4}, {n}, {}});
      in[2] = Tensor::scalar(c);
      rig.check(in, c ? "then" : "else");
    }
}

TEST(Executor, SizesWithoutBoundComeFromThePool) {
  // Nothing limits what Range's end may be; its memory is taken when the run tells.
  Rig rig(R"(
graph @main(%end: int64[], %x: int64[1]) -> (r = %r, y = %y, ten = %pair) {
  %zero = constant int64[] {0}
  %one = constant int64[] {1}
  %r = Range(%zero, %end, %one)
  %double = Add(%r, %r)
  %y = Mul(%double, %x)
  %to = constant int64[2] {-1, 1}
  %pair = Reshape(%y, %to)
})");
  for (int64_t end : {0, 5, 1000, 3, 100000}) {
    std::vector<TensorPtr> in = {Tensor::scalar<int64_t>(end), Tensor::of<int64_t>({1}, {3})};
    rig.check(in, fmt::format("end {}", end));
  }
}

// Boxes and scores to detections: TopK, Nms, and what reads its count.
constexpr const char* kDetect = R"(symbols(n in [1,16])
graph @main(%boxes: float32[n,40,4], %scores: float32[n,40,3]) -> (kept = %kept, s = %s, total = %total) {
  %kept, %s = Nms(%boxes, %scores) {box_form="centre", score_threshold=0.5, iou_threshold=0.4, max_per_group=10, output="indices"}
  %total = ReduceSum(%s) {axes=[0], keepdims=true}
})";

TEST(Executor, ZeroAndManyDetections) {
  Rig rig(kDetect);
  for (int64_t n : {1, 2}) {
    rig.check_shapes({{n, 40, 4}, {n, 40, 3}});
    std::vector<TensorPtr> in = rig.random_inputs({{n, 40, 4}, {n, 40, 3}});
    in[1] = *Tensor::allocate(DType::kFloat32, {n, 40, 3});
    rig.check(in, "none");
    auto none = rig.run(in);
    ASSERT_TRUE(none.ok());
    EXPECT_EQ((*none)[0].dims[0], 0);
  }
}

TEST(Executor, AReshapeThatDoesNotFitTheseSizesIsRefused) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float32[n,4]) -> (y = %y) {
  %r = Relu(%x)
  %to = constant int64[2] {10, 4}
  %y = Reshape(%r, %to) from "view"
})");
  rig.check_shapes({{10, 4}});
  for (int64_t n : {3, 11}) {
    auto r = rig.run(rig.random_inputs({{n, 4}}));
    ASSERT_FALSE(r.ok()) << n;
    EXPECT_THAT(r.status().message(), HasSubstr("Reshape 'view'"));
  }
}

TEST(Executor, AReshapeThatDoesNotFitWhatDataDecidedIsRefused) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%m: bool[n]) -> (y = %y) {
  %nz = NonZero(%m)
  %to = constant int64[2] {2, 2}
  %y = Reshape(%nz, %to) from "view"
})");
  auto t = [](std::initializer_list<bool> v) {
    return std::vector<TensorPtr>{Tensor::of<bool>({static_cast<int64_t>(v.size())}, v)};
  };
  rig.check(t({true, true, true, true}));
  for (auto in : {t({true, false, true, true}), t({true})}) {
    auto r = rig.run(in);
    ASSERT_FALSE(r.ok());
    EXPECT_THAT(r.status().message(), HasSubstr("view"));
  }
}

TEST(Executor, SizesThatDoNotGoTogetherAreRefused) {
  Rig rig(R"(symbols(n in [1,64], m in [1,64])
graph @main(%x: float32[n], %y: float32[m]) -> (z = %z) {
  %z = Add(%x, %y) from "sum"
})");
  rig.check_shapes({{4}, {4}});
  rig.check_shapes({{4}, {1}});
  auto r = rig.run(rig.random_inputs({{4}, {3}}));
  ASSERT_FALSE(r.ok());
  EXPECT_THAT(r.status().message(), HasSubstr("Add 'sum'"));
}

TEST(Executor, MoreMemoryThanThereCanBeIsAnError) {
  Rig rig(R"(symbols(n in [1,2000000000])
graph @main(%x: float32[n]) -> (z = %z) {
  %s = Shape(%x)
  %three = Concat(%s, %s, %s) {axis=0}
  %e = Expand(%x, %three)
  %f = Relu(%e)
  %z = ReduceSum(%f) {axes=[0, 1, 2], keepdims=false}
})");
  rig.check_shapes({{3}});
  auto spec = rig.planned->specialise(Shapes{{2000000}}, 1);  // 8e18 elements
  EXPECT_FALSE(spec.ok());
  spec = rig.planned->specialise(Shapes{{1200000}}, 1);
  EXPECT_FALSE(spec.ok());
}

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

TEST(Executor, TwoAtOnceOnOneSpecialisation) {
  Rig rig(kTrunk);
  const Shapes shapes{{2, 3, 16, 16}};
  auto spec = rig.planned->specialise(shapes, 1);
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  const std::vector<TensorPtr> in[2] = {rig.random_inputs(shapes), rig.random_inputs(shapes)};
  std::vector<TensorPtr> want[2];
  for (int i : {0, 1}) want[i] = evaluate_graph(*rig.graph, in[i])->outputs;
  auto work = [&](int i) {
    Executor e;
    ASSERT_TRUE(e.bind(*spec).ok());
    std::vector<TensorRef> out(want[i].size());
    const auto refs = Rig::refs(in[i]);
    for (int k = 0; k < 50; ++k) {
      ASSERT_TRUE(e.run(refs, out).ok());
      for (size_t o = 0; o < out.size(); ++o)
        expect_same(out[o], *want[i][o], rig.graph->node_count(), fmt::format("thread {} run {}", i, k));
    }
  };
  std::thread other(work, 1);
  work(0);
  other.join();
}

int64_t allocations_of_runs(Rig& rig, std::span<const TensorPtr> in, int runs) {
  auto warm = rig.run(in);
  EXPECT_TRUE(warm.ok()) << warm.status().message();
  EXPECT_TRUE(rig.run(in).ok());
  const auto refs = Rig::refs(in);
  std::vector<TensorRef> out(rig.graph->outputs.size());
  const int64_t before = allocations;
  for (int i = 0; i < runs; ++i) EXPECT_TRUE(rig.executor.run(refs, out).ok());
  return allocations - before;
}

// After the network's convolutions: all reference kernels, so everything counted is fovea's own.
TEST(Executor, TheSteadyStateAllocatesNothing) {
  if (!kCounting) GTEST_SKIP() << "allocations are the sanitizer's here";
  for (const char* text : {kPicked, kDetect, kBranches}) {
    Rig rig(text);
    Shapes shapes;
    for (const Value* v : rig.graph->inputs) {
      shapes.emplace_back();
      for (const Dim& d : v->shape) shapes.back().push_back(d.is_const() ? d.int_value() : 2);
    }
    std::vector<TensorPtr> in = rig.random_inputs(shapes);
    EXPECT_EQ(allocations_of_runs(rig, in, 10), 0) << text;
  }
}

TEST(Executor, AlternatingShapesAllocateNothing) {
  if (!kCounting) GTEST_SKIP() << "allocations are the sanitizer's here";
  Rig rig(kPicked);
  std::vector<TensorPtr> inputs[] = {rig.random_inputs({{2, 9}, {}}), rig.random_inputs({{40, 9}, {}}),
                                     rig.random_inputs({{7, 9}, {}})};
  std::vector<std::shared_ptr<const Specialisation>> specs;
  std::vector<std::vector<TensorRef>> refs;
  for (const auto& in : inputs) {
    for (int again = 0; again < 2; ++again) rig.check(in);
    specs.push_back(*rig.planned->specialise(rig.shapes_of(in), 1));
    refs.push_back(Rig::refs(in));
  }
  std::vector<TensorRef> out(rig.graph->outputs.size());
  const int64_t before = allocations;
  for (int i = 0; i < 12; ++i) {
    const size_t k = static_cast<size_t>(i % 3);
    EXPECT_TRUE(rig.executor.bind(specs[k]).ok() && rig.executor.run(refs[k], out).ok());
  }
  EXPECT_EQ(allocations - before, 0);
  for (const auto& in : inputs) rig.check(in, "afterwards");
}

TEST(Executor, LibrariesAllocateTheSameInEveryRun) {
  if (!kCounting) GTEST_SKIP() << "allocations are the sanitizer's here";
  Rig rig(kTrunk);
  std::vector<TensorPtr> in = rig.random_inputs({{2, 3, 16, 16}});
  const int64_t ten = allocations_of_runs(rig, in, 10);
  EXPECT_EQ(allocations_of_runs(rig, in, 20), 2 * ten);
}

int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  int64_t total = 0, resident = 0;
  in >> total >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

TEST(Executor, ResidentMemoryDoesNotGrow) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer keeps freed memory for a while";
#endif
  Rig rig(kTrunk), picked(kPicked);
  std::vector<TensorPtr> in = rig.random_inputs({{1, 3, 16, 16}}), in2 = picked.random_inputs({{4, 9}, {}});
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(rig.run(in).ok() && picked.run(in2).ok());
  const int64_t before = resident_bytes();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(rig.run(in).ok() && picked.run(in2).ok());
  EXPECT_LE(resident_bytes() - before, 256 << 10);
}

TEST(Executor, CheckFiniteNamesTheOnnxNode) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float32[n]) -> (y = %y) {
  %r = Relu(%x) from "/trunk/relu"
  %l = Log(%r) from "/head/log"
  %y = Exp(%l) from "/head/exp"
})");
  rig.executor.check_finite = true;
  std::vector<TensorPtr> good = {Tensor::of<float>({2}, {1, 2})}, bad = {Tensor::of<float>({2}, {1, 0})},
                         nan = {Tensor::of<float>({2}, {1, std::numeric_limits<float>::quiet_NaN()})};
  EXPECT_TRUE(rig.run(good).ok());
  auto r = rig.run(bad);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidArgument);
  EXPECT_THAT(r.status().message(), HasSubstr("Log '/head/log' gave infinity in 'l' (element 1 of 2)"));
  r = rig.run(nan);
  ASSERT_FALSE(r.ok());
  EXPECT_THAT(r.status().message(), HasSubstr("NaN"));
  rig.executor.check_finite = false;
  EXPECT_TRUE(rig.run(bad).ok());
  rig.executor.check_finite = true;
  EXPECT_TRUE(rig.run(good).ok());
}

// A fused ReLU makes 0 of the NaN that bad weights give: the weights themselves are looked at.
TEST(Executor, CheckFiniteLooksAtWeights) {
  auto text = [](const char* weight, const char* bias) {
    return fmt::format(R"(symbols(n in [1,64])
graph @main(%x: float32[n,1,4,4]) -> (y = %y) {{
  %w = constant float32[1,1,1,1] {{{}}}
  %b = constant float32[1] {{{}}}
  %c = Conv(%x, %w, %b) {{strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]}} from "/trunk/conv"
  %y = Relu(%c) from "/trunk/relu"
}})",
                       weight, bias);
  };
  for (auto [weight, bias, found] : {std::tuple{"1.0", "1.0", ""},
                                     {"nan", "1.0", "Conv '/trunk/conv': its constant 'w' holds NaN (element 0 of 1)"},
                                     {"1.0", "nan", "Conv '/trunk/conv': its constant 'b' holds NaN (element 0 of 1)"},
                                     {"1.0", "-inf", "its constant 'b' holds infinity"}}) {
    Rig rig(text(weight, bias));
    rig.executor.check_finite = true;
    auto r = rig.run(rig.random_inputs({{2, 1, 4, 4}}));
    ASSERT_EQ(r.ok(), *found == 0) << weight << bias << r.status().message();
    if (r.ok()) continue;
    EXPECT_EQ(r.status().kind(), ErrorKind::kInvalidModel);
    EXPECT_THAT(r.status().message(), HasSubstr(found));
    rig.executor.check_finite = false;
    EXPECT_TRUE(rig.run(rig.random_inputs({{2, 1, 4, 4}})).ok());
  }
}

// A mask of -inf and bounds of infinity are how networks are written.
TEST(Executor, CheckFiniteLeavesMasksAndBoundsAlone) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float32[n,4], %m: bool[n,4]) -> (y = %y) {
  %w = constant float32[4,4] random(1)
  %p = MatMul(%x, %w)
  %low = constant float32[] {0.0}
  %high = constant float32[] {inf}
  %c = Clip(%p, %low, %high)
  %none = constant float32[4] {0.0, 0.0, 0.0, -inf}
  %b = Max(%c, %none)
  %zero = constant float32[] {-inf}
  %picked = Where(%m, %b, %low)
  %most = Max(%picked, %zero)
  %y = Softmax(%most) {axis=1}
})");
  rig.executor.check_finite = true;
  auto r = rig.run(rig.random_inputs({{2, 4}, {2, 4}}));
  EXPECT_TRUE(r.ok()) << r.status().message();
}

// Every floating type is looked at, at every place of a run.
TEST(Executor, CheckFiniteOfOtherTypes) {
  Rig rig(R"(symbols(n in [1,64])
graph @main(%x: float64[n]) -> (y = %y) {
  %to = Cast(%x) {to="float16"} from "/half"
  %y = Neg(%to)
})");
  rig.executor.check_finite = true;
  auto run = [&](double v) { return rig.run(std::vector<TensorPtr>{Tensor::of<double>({2}, {1.0, v})}); };
  EXPECT_TRUE(run(2).ok());
  const double infinity = std::numeric_limits<double>::infinity();
  for (auto [value, found] : {std::pair{1e5, "Cast '/half' gave infinity in 'to' (element 1 of 2)"},
                              {std::nan(""), "input 'x' holds NaN (element 1 of 2)"},
                              {infinity, "input 'x' holds infinity (element 1 of 2)"}}) {
    auto r = run(value);
    ASSERT_FALSE(r.ok()) << value;
    EXPECT_THAT(r.status().message(), HasSubstr(found));
  }
}

TEST(Executor, AnObserverHearsOfEveryStep) {
  Rig rig(kTrunk);
  std::vector<TensorPtr> in = rig.random_inputs({{1, 3, 16, 16}});
  std::vector<std::string> kernels, origins;
  int64_t last = 0;
  rig.executor.observer = [&](const StepEvent& e) {
    kernels.emplace_back(e.kernel);
    EXPECT_LE(last, e.begin_ns);
    EXPECT_LE(e.begin_ns, e.end_ns);
    last = e.end_ns;
    if (e.group)
      for (const Node* n : e.group->nodes) origins.insert(origins.end(), n->origin.begin(), n->origin.end());
  };
  ASSERT_TRUE(rig.run(in).ok());
  for (const char* name : {"conv1", "conv2", "pool", "head"}) EXPECT_THAT(origins, testing::Contains(name));
  EXPECT_FALSE(kernels.empty());
}

// ---- engines

EngineData engine_data() {
  EngineData data;
  data.graph = parsed(kTrunk);
  const Target here = cpu_target();
  TimingCache timings;
  Timer timer(timings, 1, false);
  PackedWeightsMap weights;
  const SymbolValues profile{{"n", 1}};
  auto assignment = choose(*data.graph, profile, timer, weights, {});
  EXPECT_TRUE(assignment.ok());
  data.targets.push_back(
      {here.build, here.libraries, here.device, here.features, 1, {to_recipe(*data.graph, profile, *assignment)}});
  return data;
}

std::vector<std::vector<float>> outputs_of(LoadedEngine& e, const TensorPtr& in) {
  Executor executor;
  auto spec = e.main().specialise(Shapes{in->dims()}, 1);
  EXPECT_TRUE(spec.ok() && executor.bind(*spec).ok());
  std::vector<TensorRef> out(e.main().graph().outputs.size());
  const TensorRef ref = TensorRef::of(*in);
  EXPECT_TRUE(executor.run(std::span(&ref, 1), out).ok());
  std::vector<std::vector<float>> values;
  for (const TensorRef& r : out) values.emplace_back(r.as<float>(), r.as<float>() + r.count());
  return values;
}

TEST(LoadedEngine, ARecipeOfThisMachineIsUsed) {
  auto e = LoadedEngine::from(engine_data(), {});
  ASSERT_TRUE(e.ok()) << e.status().message();
  EXPECT_EQ((*e)->replanned(), "");
}

TEST(LoadedEngine, APlantedRecipeIsNotUsedAndSaidSo) {
  std::mt19937 rng(7);
  const TensorPtr in = random_tensor(DType::kFloat32, {2, 3, 16, 16}, rng);
  auto here = LoadedEngine::from(engine_data(), {});
  ASSERT_TRUE(here.ok());
  const auto want = outputs_of(**here, in);
  struct Case {
    std::function<void(EngineTarget&)> change;
    std::string why;
  };
  const Case cases[] = {
      {[](EngineTarget& t) { t.device = "Another CPU"; }, "its recipe was made on 'Another CPU'"},
      {[](EngineTarget& t) { t.features += ",amx"; }, "amx"},
      {[](EngineTarget& t) { t.libraries = "oneDNN 9.9"; }, "its recipe was made with oneDNN 9.9"},
      {[](EngineTarget& t) { t.build = "0.0.1 (abc)"; }, "its recipe was made by fovea 0.0.1 (abc)"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].kernel = "no_such_kernel"; },
       "kernel 'no_such_kernel' does not exist in this build"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].revision += 1; }, "revision"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].nodes = {100000}; }, "names a node that the graph does not have"},
      {[](EngineTarget& t) { t.recipes[0].groups[0].formats.inputs.clear(); }, "as the recipe has it"},
  };
  for (const Case& c : cases) {
    EngineData data = engine_data();
    c.change(data.targets[0]);
    std::string log;
    LoadOptions options;
    options.log = [&](LogLevel level, std::string_view text) {
      if (level == LogLevel::kWarning) log += text;
    };
    auto e = LoadedEngine::from(std::move(data), options);
    ASSERT_TRUE(e.ok()) << e.status().message();
    EXPECT_THAT((*e)->replanned(), HasSubstr(c.why));
    EXPECT_THAT(log, HasSubstr("planning anew for this machine"));
    const auto found = outputs_of(**e, in);
    for (size_t o = 0; o < want.size(); ++o)
      EXPECT_THAT(found[o], testing::Pointwise(testing::FloatNear(1e-3f), want[o])) << c.why;
  }
}

}  // namespace
}  // namespace fovea::core
