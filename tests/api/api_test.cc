// The C++ API as its users see it: public headers and shared libraries only.
#include <fovea/compile.h>
#include <fovea/detector.h>
#include <fovea/version.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/api/allocations.h"
#include "tests/api/text_engine.h"

namespace fovea {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kModel = FOVEA_SOURCE_DIR "/models/small_ssd/";

// Compiled once for all tests; without timing, so that it takes a second.
class Api : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("fovea_api_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    CompileOptions options;
    options.card = kModel + "card.toml";
    options.timing = false, options.threads = 1;
    compile(kModel + "small_ssd.onnx", path("card.fov"), options);
    options.card.clear();
    compile(kModel + "small_ssd.onnx", path("plain.fov"), options);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string path(const std::string& name) { return (folder_ / name).string(); }
  static Engine engine(const std::string& name = "card.fov") {
    EngineOptions options;
    options.threads = 1;
    return Engine::open(path(name), options);
  }
  static Tensor input(int64_t n, float scale = 1) {
    Tensor t(ElementType::kFloat32, {n, 3, 256, 256});
    uint32_t state = 1;
    for (int64_t i = 0; i < t.count(); ++i) {
      state = state * 1664525u + 1013904223u;
      t.as<float>()[i] = scale * (static_cast<float>(state >> 8) / (1 << 23) - 1);
    }
    return t;
  }
  template <typename F>
  static void error(F&& f, ErrorCode code, const std::string& what) {
    try {
      f();
      ADD_FAILURE() << "nothing thrown: " << what;
    } catch (const Error& e) {
      EXPECT_EQ(static_cast<int>(e.code()), static_cast<int>(code)) << e.what();
      EXPECT_THAT(e.what(), HasSubstr(what));
    }
  }
  static std::vector<std::byte> bytes(const Tensor& t, size_t size) {
    const auto* p = static_cast<const std::byte*>(t.data());
    return {p, p + size};
  }

  static fs::path folder_;
};
fs::path Api::folder_;

TEST_F(Api, Versions) {
  EXPECT_STREQ(library_version(), FOVEA_VERSION_STRING);
  EXPECT_STREQ(fovea_version(), FOVEA_VERSION_STRING);
  EXPECT_THAT(library_dependencies(), HasSubstr("oneDNN"));
}

TEST_F(Api, AnEngineTellsWhatItTakes) {
  const Engine e = engine("plain.fov");
  ASSERT_EQ(e.inputs().size(), 1u);
  EXPECT_EQ(e.inputs()[0].name, "image");
  EXPECT_EQ(e.inputs()[0].type, ElementType::kFloat32);
  EXPECT_THAT(e.inputs()[0].shape, ElementsAre(-1, 3, 256, 256));
  EXPECT_THAT(e.inputs()[0].symbolic, ElementsAre(testing::_, "3", "256", "256"));
  EXPECT_EQ(e.outputs().size(), 2u);
  EXPECT_FALSE(e.has_card());
  EXPECT_EQ(e.threads(), 1);
  EXPECT_EQ(e.replanned(), "");
  EXPECT_EQ(e.fovea_version(), FOVEA_VERSION_STRING);
  EXPECT_EQ(e.source_name(), "small_ssd.onnx");
  EXPECT_TRUE(engine().has_card());
  EXPECT_THAT(engine().card(), HasSubstr("[picture]"));
}

TEST_F(Api, OwnAndCallersOutputsAreTheSame) {
  const Engine e = engine("plain.fov");
  Context a = e.create_context(), b = e.create_context();
  for (int64_t n : {1, 3, 1}) {
    const Tensor in = input(n);
    const std::vector<Tensor> own = a.run(std::span(&in, 1));
    std::vector<Tensor> mine;
    for (const auto& shape : b.output_capacity({in.shape()})) {
      std::vector<int64_t> room = shape;
      room[0] += 1;  // more than needed
      mine.emplace_back(ElementType::kFloat32, room);
    }
    const Event done = b.enqueue(std::span(&in, 1), mine, Stream());
    done.wait();
    EXPECT_TRUE(done.done());
    ASSERT_EQ(own.size(), mine.size());
    for (size_t i = 0; i < own.size(); ++i) {
      EXPECT_EQ(own[i].shape()[0], n);
      EXPECT_EQ(own[i].shape(), mine[i].shape());
      EXPECT_EQ(bytes(own[i], own[i].bytes()), bytes(mine[i], own[i].bytes()));
    }
  }
}

TEST_F(Api, DataDependentOutputsHaveACapacity) {
  Context c = engine().create_context();
  const auto capacity = c.output_capacity({{2, 3, 256, 256}});
  ASSERT_EQ(capacity.size(), 4u);
  EXPECT_THAT(capacity[0], ElementsAre(200, 4));  // 2 pictures of at most 100 detections
  const Tensor in = input(2, 0);
  const auto out = c.run(std::span(&in, 1));
  EXPECT_LE(out[0].shape()[0], 200);
  EXPECT_EQ(out[0].shape()[0], out[1].shape()[0]);
}

TEST_F(Api, WrongCallsSayWhatWasExpected) {
  Context c = engine("plain.fov").create_context();
  auto run = [&](const Tensor& t) { c.run(std::span(&t, 1)); };
  const Tensor good = input(1);
  error([&] { c.run({}); }, ErrorCode::kInvalidArgument, "expected 1 inputs, found 0");
  error(
      [&] {
        run(Tensor(ElementType::kInt64, {1, 3, 256, 256}));
      },
      ErrorCode::kInvalidArgument, "input 'image': expected float32, found int64");
  error(
      [&] {
        run(Tensor(ElementType::kFloat32, {1, 3, 255, 256}));
      },
      ErrorCode::kInvalidArgument, "found [1,3,255,256]");
  error([&] { run(Tensor(ElementType::kFloat32, {3, 256, 256})); }, ErrorCode::kInvalidArgument, "found [3,256,256]");
  error(
      [&] {
        run(Tensor(ElementType::kFloat32, {0, 3, 256, 256}));
      },
      ErrorCode::kInvalidArgument, "found [0,3,256,256]");
  error([&] { run(Tensor(ElementType::kFloat32, std::vector<int64_t>(9, 1))); }, ErrorCode::kInvalidArgument, "rank 9");
  error([&] { run(Tensor()); }, ErrorCode::kInvalidArgument, "expected float32");
  error([&] { Tensor(ElementType::kFloat32, {-1}); }, ErrorCode::kInvalidArgument, "cannot have this shape");
  EXPECT_EQ(good.device(), Device());
  EXPECT_EQ(c.run(std::span(&good, 1))[0].device().name(), "cpu");
  float few[3];
  error([&] { Tensor::borrow(ElementType::kFloat32, {4}, few, sizeof few); }, ErrorCode::kInvalidArgument,
        "needs 16 bytes, found 12");
  error([&] { Tensor::borrow(ElementType::kFloat32, {4}, static_cast<void*>(nullptr), 16); },
        ErrorCode::kInvalidArgument, "found a null pointer");
  EXPECT_EQ(Tensor::borrow(ElementType::kFloat32, {0}, static_cast<void*>(nullptr), 0).count(), 0);

  std::vector<Tensor> none, small = {Tensor(ElementType::kFloat32, {1}), Tensor(ElementType::kFloat32, {1})};
  error([&] { c.run(std::span(&good, 1), none); }, ErrorCode::kInvalidArgument, "expected 2 outputs, found 0");
  error([&] { c.run(std::span(&good, 1), small); }, ErrorCode::kInvalidArgument, "bytes, found 4");
  std::vector<Tensor> wrong;
  for (const auto& shape : c.output_capacity({good.shape()})) wrong.emplace_back(ElementType::kFloat64, shape);
  error([&] { c.run(std::span(&good, 1), wrong); }, ErrorCode::kInvalidArgument, "expected writable float32 memory");
  EXPECT_EQ(c.run(std::span(&good, 1)).size(), 2u);  // it still works
}

TEST_F(Api, APrepareThatFailsLeavesNothingThatLooksReady) {
  Context c = engine("plain.fov").create_context();
  const Tensor one = input(1), bad(ElementType::kFloat32, {1, 3, 8, 8});
  const auto first = c.run(std::span(&one, 1));
  const auto want = bytes(first[0], first[0].bytes());
  error([&] { c.prepare({{1, 3, 8, 8}}); }, ErrorCode::kInvalidArgument, "found [1,3,8,8]");
  error([&] { c.run(std::span(&bad, 1)); }, ErrorCode::kInvalidArgument, "found [1,3,8,8]");
  error([&] { c.prepare({}); }, ErrorCode::kInvalidArgument, "0 shapes were given");
  c.prepare({{1, 3, 256, 256}});
  const auto again = c.run(std::span(&one, 1));
  EXPECT_EQ(bytes(again[0], again[0].bytes()), want);
}

TEST_F(Api, OneContextInTwoThreadsIsRefused) {
  Context c = engine("plain.fov").create_context();
  const Tensor in = input(1);
  std::atomic<bool> inside{false}, tried{false};
  bool refused = false;
  c.set_observer([&](const StepInfo&) {
    inside = true;
    while (!tried) std::this_thread::yield();
  });
  std::thread other([&] {
    while (!inside) std::this_thread::yield();
    try {
      c.run(std::span(&in, 1));
    } catch (const Error& e) {
      refused = std::string(e.what()).find("two threads at once") != std::string::npos;
    }
    tried = true;
  });
  EXPECT_EQ(c.run(std::span(&in, 1)).size(), 2u);
  other.join();
  EXPECT_TRUE(refused);
  c.set_observer(nullptr);
  EXPECT_EQ(c.run(std::span(&in, 1)).size(), 2u);  // the turn was given back
}

// Made, passed through, constant.
constexpr const char* kThrough = R"(symbols(n in [1,64])
graph @main(%x: float32[n]) -> (made = %y, through = %x, constant = %k) {
  %k = constant float32[2] {1.0, 2.0}
  %y = Neg(%x)
})";

TEST_F(Api, LooksAtWhatIsNotTheContextsAreReadOnly) {
  write_text_engine(path("through.fov"), kThrough);
  Context c = engine("through.fov").create_context();
  const Tensor in(ElementType::kFloat32, {3});
  const auto looks = c.run(std::span(&in, 1));
  EXPECT_FALSE(looks[0].read_only());
  EXPECT_TRUE(looks[1].read_only());
  EXPECT_TRUE(looks[2].read_only());
  EXPECT_EQ(looks[1].data(), in.data());
  const float three[3] = {};
  Context other = engine("through.fov").create_context();
  std::vector<Tensor> out = {Tensor(ElementType::kFloat32, {3}),
                             Tensor::borrow(ElementType::kFloat32, {3}, three, sizeof three), looks[2]};
  error([&] { other.run(std::span(&in, 1), out); }, ErrorCode::kInvalidArgument,
        "output 'through': expected writable float32 memory, found read-only float32");
  out[1] = Tensor(ElementType::kFloat32, {3});
  error([&] { other.run(std::span(&in, 1), out); }, ErrorCode::kInvalidArgument,
        "output 'constant': expected writable");
}

TEST_F(Api, MemoryThatARunWouldOverwriteIsRefused) {
  write_text_engine(path("through.fov"), kThrough);
  Context c = engine("through.fov").create_context();
  std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8};
  auto at = [&](int64_t from, int64_t count) {
    return Tensor::borrow(ElementType::kFloat32, {count}, x.data() + from, static_cast<size_t>(count) * sizeof(float));
  };
  const Tensor in = at(0, 3);
  auto run = [&](const Tensor& input, const Tensor& made, const Tensor& through, const Tensor& constant) {
    std::vector<Tensor> out = {made, through, constant};
    c.run(std::span(&input, 1), out);
  };
  const Tensor a(ElementType::kFloat32, {3}), b(ElementType::kFloat32, {3}), k(ElementType::kFloat32, {2});
  const auto looks = c.run(std::span(&in, 1));
  error([&] { c.run(std::span(&looks[0], 1)); }, ErrorCode::kInvalidArgument,
        "input 'x' lies in this context's own memory");
  error([&] { run(in, looks[0], b, k); }, ErrorCode::kInvalidArgument,
        "output 'made' lies in this context's own memory");
  c.run(std::span(&looks[1], 1));  // the caller's own
  Context other = engine("through.fov").create_context();
  other.run(std::span(&looks[0], 1));  // of another context

  error([&] { run(in, a, a, k); }, ErrorCode::kInvalidArgument, "outputs 'made' and 'through' share memory");
  error([&] { run(in, at(3, 3), at(5, 3), k); }, ErrorCode::kInvalidArgument, "outputs 'made' and 'through' share");
  error([&] { run(in, at(2, 3), b, k); }, ErrorCode::kInvalidArgument,
        "output 'made' shares memory with an input that the network passes through as output 'through'");
  EXPECT_EQ(x, (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));  // nothing was written
  run(in, at(3, 3), b, k);
  EXPECT_EQ(x, (std::vector<float>{1, 2, 3, -1, -2, -3, 7, 8}));
  EXPECT_EQ(b.as<float>()[2], 3);

  // Where nothing passes through, an output may take the input's memory.
  write_text_engine(path("neg.fov"), R"(symbols(n in [1,64])
graph @main(%x: float32[n]) -> (y = %y) {
  %y = Neg(%x)
})");
  Context neg = engine("neg.fov").create_context();
  Tensor same = in;
  neg.run(std::span(&in, 1), std::span(&same, 1));
  EXPECT_EQ(x, (std::vector<float>{-1, -2, -3, -1, -2, -3, 7, 8}));
}

TEST_F(Api, HandlesThatHoldNothingAreRefused) {
  Engine none;
  error([&] { none.inputs(); }, ErrorCode::kInvalidArgument, "make it with Engine::open()");
  error([&] { none.threads(); }, ErrorCode::kInvalidArgument, "make it with Engine::open()");
  error([&] { none.create_context(); }, ErrorCode::kInvalidArgument, "make it with Engine::open()");
  error([&] { Detector{none}; }, ErrorCode::kInvalidArgument, "make it with Engine::open()");
  Engine e = engine();
  none = std::move(e);
  EXPECT_TRUE(none.has_card());
  error([&] { e.card(); }, ErrorCode::kInvalidArgument, "make it with Engine::open()");  // NOLINT: after the move

  Context from = none.create_context(), c = std::move(from);
  const Tensor in = input(1);
  EXPECT_EQ(c.run(std::span(&in, 1)).size(), 4u);
  const std::string moved = "a Context was used that had been moved from";
  error([&] { from.run(std::span(&in, 1)); }, ErrorCode::kInvalidArgument, moved);  // NOLINT
  error([&] { from.prepare({}); }, ErrorCode::kInvalidArgument, moved);
  error([&] { from.output_capacity({}); }, ErrorCode::kInvalidArgument, moved);
  error([&] { from.set_observer(nullptr); }, ErrorCode::kInvalidArgument, moved);
  error([&] { from.check_finite(true); }, ErrorCode::kInvalidArgument, moved);

  Detector first(none), d = std::move(first);
  EXPECT_FALSE(d.class_name(0).empty());
  error([&] { first.detect(std::span<const Picture>()); }, ErrorCode::kInvalidArgument,
        "a Detector was used");  // NOLINT
  error([&] { first.class_name(0); }, ErrorCode::kInvalidArgument, "a Detector was used");
}

TEST_F(Api, WhatLeavesIsAnErrorExceptTheCallersOwn) {
  const Engine e = engine("plain.fov");
  if (kCounting)
    error(
        [&] {
          fail_next = true;
          e.create_context();
        },
        ErrorCode::kSystem, "out of memory");
  Context c = e.create_context();
  const Tensor in = input(1);
  c.set_observer([](const StepInfo&) { throw std::domain_error("mine"); });
  EXPECT_THROW(c.run(std::span(&in, 1)), std::domain_error);
  c.set_observer(nullptr);
  EXPECT_EQ(c.run(std::span(&in, 1)).size(), 2u);
  CompileOptions options;
  options.progress = [](const std::string&, int, int) { throw 7; };
  EXPECT_THROW(compile(kModel + "small_ssd.onnx", path("x.fov"), options), int);
  EXPECT_FALSE(fs::exists(path("x.fov")));
}

TEST_F(Api, AnObserverMayNotUseItsContext) {
  Context c = engine("plain.fov").create_context();
  const Tensor in = input(1);
  int refused = 0;
  c.set_observer([&](const StepInfo&) {
    const std::string text = "used by two threads at once, or by a function that it calls";
    error([&] { c.set_observer(nullptr); }, ErrorCode::kInvalidArgument, text);
    error([&] { c.check_finite(true); }, ErrorCode::kInvalidArgument, text);
    error([&] { c.output_capacity({in.shape()}); }, ErrorCode::kInvalidArgument, text);
    error([&] { c.run(std::span(&in, 1)); }, ErrorCode::kInvalidArgument, text);
    ++refused;
  });
  c.run(std::span(&in, 1));
  EXPECT_GT(refused, 10);
}

TEST_F(Api, PreparedShapesStayReady) {
  Context c = engine("plain.fov").create_context();
  const Tensor one = input(1), three = input(3);
  std::vector<std::byte> want[2];
  for (int i : {0, 1}) {
    Context alone = engine("plain.fov").create_context();
    const auto out = alone.run(std::span(i ? &three : &one, 1));
    want[i] = bytes(out[0], out[0].bytes());
  }
  c.prepare({one.shape()});
  c.prepare({three.shape()});
  // Other shapes push them out, and the arena grows meanwhile: what is bound again points to the new one.
  for (int64_t n : {1, 3, 1, 5, 3, 1, 2, 4, 6, 3, 1}) {
    const Tensor other = input(n);
    const Tensor& in = n == 1 ? one : n == 3 ? three : other;
    const auto out = c.run(std::span(&in, 1));
    EXPECT_EQ(out[0].shape()[0], n);
    if (n == 1 || n == 3) EXPECT_EQ(bytes(out[0], out[0].bytes()), want[n == 3]) << n;
  }
}

TEST_F(Api, TwoContextsInTwoThreads) {
  const Engine e = engine("plain.fov");
  const Tensor in = input(1);
  Context first = e.create_context();
  const auto out = first.run(std::span(&in, 1));
  const auto want = bytes(out[0], out[0].bytes());
  auto work = [&] {
    Context c = e.create_context();
    for (int i = 0; i < 5; ++i) {
      const auto found = c.run(std::span(&in, 1));
      EXPECT_EQ(bytes(found[0], found[0].bytes()), want);
    }
  };
  std::thread a(work), b(work);
  a.join(), b.join();
}

TEST_F(Api, AnObserverHearsTheOnnxNodes) {
  Context c = engine("plain.fov").create_context();
  const Tensor in = input(1);
  int steps = 0, named = 0;
  c.set_observer([&](const StepInfo& s) {
    ++steps;
    named += !s.onnx_nodes.empty();
    EXPECT_FALSE(s.kernel.empty());
    EXPECT_LE(s.begin_ns, s.end_ns);
  });
  c.run(std::span(&in, 1));
  EXPECT_GT(steps, 10);
  EXPECT_GT(named, 10);
}

TEST_F(Api, CheckFiniteNamesTheNode) {
  Context c = engine("plain.fov").create_context();
  Tensor in = input(1);
  in.as<float>()[77] = std::numeric_limits<float>::quiet_NaN();
  c.check_finite(true);
  error([&] { c.run(std::span(&in, 1)); }, ErrorCode::kInvalidArgument, "input 'image' holds NaN (element 77 of ");
  in.as<float>()[77] = std::numeric_limits<float>::infinity();
  error([&] { c.run(std::span(&in, 1)); }, ErrorCode::kInvalidArgument, "input 'image' holds infinity (element 77 of ");
  in = input(1, 3e38f);
  error([&] { c.run(std::span(&in, 1)); }, ErrorCode::kInvalidArgument, " gave ");
}

TEST_F(Api, TheSteadyStateAllocatesNothing) {
  if (!kCounting) GTEST_SKIP() << "allocations are the sanitizer's here";
  const Engine e = engine();
  Context c = e.create_context();
  const Tensor in = input(2);
  std::vector<Tensor> out;
  const auto capacity = c.output_capacity({in.shape()});
  for (size_t i = 0; i < capacity.size(); ++i) out.emplace_back(e.outputs()[i].type, capacity[i]);
  const Stream stream;
  auto runs = [&](int count) {
    ours = inside_libraries = 0;
    counting = true;
    for (int i = 0; i < count; ++i) {
      c.run(std::span(&in, 1), out);
      c.enqueue(std::span(&in, 1), out, stream).wait();
    }
    counting = false;
    return std::pair<int64_t, int64_t>(ours, inside_libraries);
  };
  EXPECT_GT(runs(2).first, 0);  // the first run makes everything, and shows that this test counts
  const auto five = runs(5), ten = runs(10);
  EXPECT_EQ(five.first, 0);
  EXPECT_EQ(ten.first, 0);
  EXPECT_EQ(ten.second, 2 * five.second);

  // Shapes that alternate are ready, too.
  const Tensor small = input(1);
  auto alternate = [&](const Tensor& image) { c.run(std::span(&image, 1), out); };
  for (int i = 0; i < 2; ++i) alternate(small), alternate(in);
  ours = 0, counting = true;
  for (int i = 0; i < 5; ++i) alternate(small), alternate(in);
  counting = false;
  EXPECT_EQ(ours, 0);
}

TEST_F(Api, OptionsThatMakeNoSense) {
  EngineOptions options;
  options.threads = -1;
  error([&] { Engine::open(path("card.fov"), options); }, ErrorCode::kInvalidArgument, "threads: expected 0");
  options.threads = 1, options.max_specialisations = 0;
  error([&] { Engine::open(path("card.fov"), options); }, ErrorCode::kInvalidArgument, "at least 1, found 0");
  options.max_specialisations = 1, options.max_specialisation_bytes = -1;
  error([&] { Engine::open(path("card.fov"), options); }, ErrorCode::kInvalidArgument, "at least 0, found -1");
  options.max_specialisation_bytes = 0;  // the newest stays
  Context c = Engine::open(path("plain.fov"), options).create_context();
  for (int64_t n : {1, 2, 1}) {
    const Tensor in = input(n);
    EXPECT_EQ(c.run(std::span(&in, 1))[0].shape()[0], n);
  }
  CompileOptions compiling;
  compiling.threads = -3;
  error([&] { compile(kModel + "small_ssd.onnx", path("x.fov"), compiling); }, ErrorCode::kInvalidArgument,
        "threads: expected 0 (all cores) or more, found -3");
}

TEST_F(Api, DevicesByName) {
  EXPECT_EQ(Device(), Device("cpu"));
  EXPECT_EQ(Device("cpu").name(), "cpu");
  EXPECT_EQ(Device().description(), Device("cpu").description());
  for (const char* name : {"", "CUDA:0", "cuda:", "cuda:x", "cpu:0", "cuda:0,cuda:1"})
    error([&] { Device{name}; }, ErrorCode::kInvalidArgument, "expected 'cpu' or a name like 'cuda:0', found '");
  for (const char* name : {"cuda:9999", "quantum:0"})  // the backend, the driver or the GPU is missing
    error([&] { Device{name}; }, ErrorCode::kUnsupported, "");

  const Stream stream;
  stream.synchronize();
  EXPECT_EQ(stream.device(), Device());
  EXPECT_TRUE(Event().done());
  Event().wait();
  float four[4] = {1, 2, 3, 4};
  const Tensor t = Tensor::borrow(ElementType::kFloat32, {4}, four, sizeof four, Device());
  EXPECT_EQ(t.device(), Device());
  EXPECT_EQ(t.as<float>()[2], 3);
  EXPECT_TRUE(Tensor::borrow(ElementType::kFloat32, {4}, std::as_const(t).data(), 16, Device("cpu")).read_only());
  error([&] { Tensor::borrow(ElementType::kFloat32, {5}, four, sizeof four, Device()); }, ErrorCode::kInvalidArgument,
        "needs 20 bytes, found 16");
}

TEST_F(Api, DamagedAndMissingEngines) {
  error([] { Engine::open(path("none.fov")); }, ErrorCode::kInvalidArgument, "none.fov");
  std::ofstream(path("bad.fov")) << "not an engine at all, but long enough to hold a header of 64 bytes";
  error([] { Engine::open(path("bad.fov")); }, ErrorCode::kInvalidModel, "bad.fov");
  error([] { compile(path("none.onnx"), path("x.fov")); }, ErrorCode::kInvalidArgument, "none.onnx");
  EXPECT_FALSE(fs::exists(path("x.fov")));
}

TEST_F(Api, ADetectorFindsWhatIsOnAPicture) {
  Detector d(engine());
  std::vector<Picture> pictures = {read_picture(kModel + "pictures/000001.jpg"),
                                   read_picture(kModel + "pictures/000002.jpg")};
  const auto one = d.detect(pictures[0]);
  ASSERT_FALSE(one.empty());
  EXPECT_GT(one[0].score, 0.5f);
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_TRUE(i == 0 || one[i - 1].score >= one[i].score);
    EXPECT_GE(one[i].label, 0);
    EXPECT_FALSE(d.class_name(one[i].label).empty());
  }
  const auto both = d.detect(pictures, 2);
  ASSERT_EQ(both.size(), 2u);
  ASSERT_EQ(both[0].size(), one.size());
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(both[0][i].label, one[i].label);
    EXPECT_NEAR(both[0][i].score, one[i].score, 1e-4);
    EXPECT_NEAR(both[0][i].x0, one[i].x0, 0.01);
  }
  EXPECT_TRUE(d.detect(std::span<const Picture>()).empty());
  error(
      [&] {
        d.detect(Picture{2, 2, {1, 2, 3}});
      },
      ErrorCode::kInvalidArgument, "2 x 2 pixels needs 12 bytes, found 3");
  error([] { Detector{engine("plain.fov")}; }, ErrorCode::kInvalidArgument, "no model card");
  error([] { read_picture(path("none.jpg")); }, ErrorCode::kInvalidArgument, "none.jpg");
}

}  // namespace
}  // namespace fovea
