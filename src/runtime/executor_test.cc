// Whole small graphs run by the executor against the interpreter, at several sizes from one PlannedGraph.
#include "runtime/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <new>
#include <thread>

#include "interpreter/interpreter.h"
#include "runtime/executor_testing.h"

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

void Rig::check(std::span<const TensorPtr> inputs, const std::string& what) {
  auto want = evaluate_graph(*graph, inputs);
  ASSERT_TRUE(want.ok()) << want.status().message();
  auto found = run(inputs);
  ASSERT_TRUE(found.ok()) << found.status().message();
  for (size_t i = 0; i < want->outputs.size(); ++i)
    expect_same((*found)[i], *want->outputs[i], graph->node_count(),
                fmt::format("output {} {} of shapes {}", graph->output_names[i], what, shapes_text(inputs)));
}

namespace {

using testing::HasSubstr;

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

}  // namespace
}  // namespace fovea::core
