// Whole networks on a device: what a real one has to show, which FOVEA_TEST_DEVICE=cuda:0 asks of it. Everything here
// runs on fake:0 too, where it says less.
#include <fovea/compile.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "backends/device.h"
#include "ir/parse.h"
#include "kernels/kernel.h"
#include "ops/op.h"
#include "precision/policy.h"
#include "runtime/loaded_engine.h"
#include "tests/api/text_engine.h"
#include "tests/device/device_memory.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

// Everything of it has a kernel on every device.
constexpr const char* kSegment = R"(symbols(n in [1,64])
graph @main(%x: float32[n,3,33,31]) -> (y = %y) {
  %w1 = constant float32[16,3,3,3] random(1)
  %b1 = constant float32[16] random(2)
  %c1 = Conv(%x, %w1, %b1) {strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]}
  %r1 = Relu(%c1)
  %w2 = constant float32[16,16,3,3] random(3)
  %b2 = constant float32[16] random(4)
  %c2 = Conv(%r1, %w2, %b2) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]}
  %s = Add(%c2, %r1)
  %r2 = Relu(%s)
  %w3 = constant float32[12,16,1,1] random(5)
  %b3 = constant float32[12] random(6)
  %y = Conv(%r2, %w3, %b3) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]}
})";
// A detector's shape: two heads, joined, and probabilities.
constexpr const char* kHeads = R"(symbols(n in [1,64])
graph @main(%x: float32[n,3,33,31]) -> (p = %p, far = %far, near = %near) {
  %w1 = constant float32[16,3,3,3] random(1)
  %b1 = constant float32[16] random(2)
  %c1 = Conv(%x, %w1, %b1) {strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]}
  %r1 = Relu(%c1)
  %pool = MaxPool(%r1) {kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0], dilations=[1, 1]}
  %w2 = constant float32[12,16,3,3] random(3)
  %near = Conv(%r1, %w2) {strides=[1, 1], pads=[1, 1, 1, 1], dilations=[1, 1]}
  %w3 = constant float32[12,16,1,1] random(4)
  %far = Conv(%pool, %w3) {strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1]}
  %tn = Transpose(%near) {perm=[0, 2, 3, 1]}
  %tf = Transpose(%far) {perm=[0, 2, 3, 1]}
  %to = constant int64[3] {0, -1, 4}
  %fn = Reshape(%tn, %to)
  %ff = Reshape(%tf, %to)
  %both = Concat(%fn, %ff) {axis=1}
  %small = constant float32[1] {0.01}
  %scaled = Mul(%both, %small)
  %p = Softmax(%scaled) {axis=2}
})";

Tensor picture(int64_t n, uint32_t seed) {
  Tensor t(ElementType::kFloat32, {n, 3, 33, 31});
  for (int64_t i = 0; i < t.count(); ++i) {
    seed = seed * 1664525u + 1013904223u;
    t.as<float>()[i] = static_cast<float>(seed >> 8) / (1 << 23) - 1;
  }
  return t;
}

using Bytes = std::vector<std::byte>;
Bytes bytes_of(const void* data, size_t size) {
  const auto* p = static_cast<const std::byte*>(data);
  return {p, p + size};
}

// To within a part of what the reference's elements are on the average.
void expect_near(std::span<const float> found, std::span<const float> want, double part) {
  ASSERT_EQ(found.size(), want.size());
  double squares = 0;
  for (float w : want) squares += static_cast<double>(w) * w;
  const double bound = part * std::sqrt(squares / static_cast<double>(std::max<size_t>(want.size(), 1)));
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(found[i], want[i], bound) << i;
}
// Sums of at most 144 products in three layers: 1e-6 of their size, and a digit that a library loses where it takes
// Winograd's way; the largest of thousands is five times as wrong as they are on the average.
constexpr double kFloat32 = 1e-4;

// ---- by the insides, which can say what a run did

class Running {
 public:
  // device: "" is the processor.
  Running(const std::string& text, const std::string& device, core::Precision precision = core::Precision::kFloat32) {
    core::EngineData data;
    auto graph = core::parse(text, core::find_op);
    EXPECT_TRUE(graph.ok()) << graph.status().message();
    data.graph = *std::move(graph);
    core::permit(*data.graph, precision);
    core::LoadOptions options;
    options.threads = 1;
    if (!device.empty()) options.device = *core::open_device(device);
    auto opened = core::LoadedEngine::from(std::move(data), options);
    EXPECT_TRUE(opened.ok()) << opened.status().message();
    engine_ = *std::move(opened);
  }
  void bind(const std::vector<std::vector<int64_t>>& shapes) {
    auto made = engine_->main().specialise(shapes, 1);
    ASSERT_TRUE(made.ok()) << made.status().message();
    const core::Status s = executor.bind(*made);
    ASSERT_TRUE(s.ok()) << s.message();
  }
  // All outputs behind each other.
  std::vector<float> outputs(const Tensor& in) {
    bind({in.shape()});
    const core::TensorRef x = ref(in);
    std::vector<core::TensorRef> out(engine_->main().graph().outputs.size());
    const core::Status s = executor.run(std::span(&x, 1), out);
    EXPECT_TRUE(s.ok()) << s.message();
    std::vector<float> values;
    for (const core::TensorRef& r : out) values.insert(values.end(), r.as<float>(), r.as<float>() + r.count());
    return values;
  }
  static core::TensorRef ref(const Tensor& t) {
    return core::TensorRef::dense_of(core::DType::kFloat32, t.shape(), const_cast<void*>(t.data()));
  }
  core::Executor executor;

 private:
  std::shared_ptr<core::LoadedEngine> engine_;
};

TEST(Networks, GiveWhatTheProcessorGives) {
  for (const char* text : {kSegment, kHeads}) {
    Running there(text, test_device()), here(text, "");
    for (int64_t n : {1, 5, 5, 5, 1, 1}) {  // run, recorded, started as recorded
      const Tensor in = picture(n, static_cast<uint32_t>(n));
      expect_near(there.outputs(in), here.outputs(in), kFloat32);
    }
  }
}

// Factors of 11 bits and sums in float32: the error of a term is 2^-12 of its size, that of a sum as much of its own.
TEST(Networks, AreNearInLessPrecision) {
  for (const core::Precision precision : {core::Precision::kTf32, core::Precision::kFloat16})
    for (const char* text : {kSegment, kHeads}) {
      Running there(text, test_device(), precision), here(text, "");
      for (int run = 0; run < 3; ++run) expect_near(there.outputs(picture(4, 7)), here.outputs(picture(4, 7)), 2e-2);
    }
}

TEST(Networks, AreOneGraphWithoutSynchronisation) {
  Running there(kSegment, test_device()), here(kSegment, "");
  const Tensor in = picture(4, 9);
  std::vector<core::TensorRef> out(1);
  there.bind({in.shape()});
  core::Executor& e = there.executor;
  // Where nobody stages it: of pageable memory one input at a time is on its way, and the next run waits for it.
  const auto bytes = static_cast<int64_t>(in.bytes());
  const core::DeviceMemory held =
      *(*core::open_device(test_device()))->allocate(bytes, core::DeviceMemory::Kind::kDevice);
  ASSERT_TRUE(e.stream()->copy(held.data(), in.data(), bytes).ok());
  core::TensorRef x = Running::ref(in);
  x.data = held.data();
  for (int run = 0; run < 4; ++run) {
    SCOPED_TRACE(run);
    core::Status s = e.enqueue(std::span(&x, 1));
    ASSERT_TRUE(s.ok()) << s.message();
    EXPECT_EQ(e.counts().synchronisations, 0);
    EXPECT_EQ(e.counts().graphs, run == 0 ? 0 : 1);
    s = e.finish_on_device(out);
    ASSERT_TRUE(s.ok()) << s.message();
    EXPECT_EQ(e.counts().synchronisations, 0);
    if (run > 1) {
      EXPECT_EQ(e.counts().made.total(), 0);
    }
  }
  ASSERT_TRUE(e.stream()->synchronize().ok());
  for (int run = 0; run < 2; ++run) {  // the first one takes the memory that stages the input
    expect_near(there.outputs(in), here.outputs(in), kFloat32);
    EXPECT_EQ(e.counts().synchronisations, 1);  // for the outputs
  }
  EXPECT_EQ(e.counts().graphs, 1);
  EXPECT_EQ(e.counts().made.total(), 0);
}

TEST(Networks, FallBackToTheProcessorWhereTheDeviceHasNoKernel) {
  const auto rows = (*core::open_device(test_device()))->kernels();
  const auto lacks = [&](std::string_view op) {
    return std::ranges::none_of(rows, [&](const core::KernelRow* r) { return r->op == op; });
  };
  std::string op;
  for (const char* name : {"Atan", "Sinh", "Cosh", "Asinh"})
    if (op.empty() && lacks(name)) op = name;
  ASSERT_FALSE(op.empty()) << "all of them have kernels by now: choose others";
  const std::string text = R"(symbols(n in [1,64])
graph @main(%x: float32[n,3,33,31]) -> (y = %y) {
  %a = Relu(%x)
  %m = )" + op + R"((%a)
  %s = Add(%m, %a)
  %y = Relu(%s)
})";
  Running there(text, test_device()), here(text, "");
  for (int run = 0; run < 4; ++run) {
    expect_near(there.outputs(picture(3, 5)), here.outputs(picture(3, 5)), kFloat32);
    EXPECT_EQ(there.executor.counts().synchronisations, 2) << op;  // for the processor's node, for the output
    EXPECT_EQ(there.executor.counts().graphs, run == 0 ? 0 : 2) << op;
  }
}

TEST(Networks, GiveTheSameOnASecondDevice) {
  const auto name = *core::parse_device_name(test_device());
  const std::string second = name.backend + ":" + std::to_string(name.index + 1);
  if (auto opened = core::open_device(second); !opened.ok()) GTEST_SKIP() << opened.status().message();
  Running one(kHeads, test_device()), two(kHeads, second), here(kHeads, "");
  const Tensor in[] = {picture(2, 1), picture(2, 2)};
  for (int run = 0; run < 4; ++run) {
    Running* runs[] = {&one, &two};
    std::vector<core::TensorRef> out[2] = {std::vector<core::TensorRef>(3), std::vector<core::TensorRef>(3)};
    for (int i : {0, 1}) {
      runs[i]->bind({in[i].shape()});
      const core::TensorRef x = Running::ref(in[i]);
      ASSERT_TRUE(runs[i]->executor.enqueue(std::span(&x, 1)).ok());
    }
    for (int i : {0, 1}) {
      ASSERT_TRUE(runs[i]->executor.finish(out[i]).ok());
      std::vector<float> found;
      for (const core::TensorRef& r : out[i]) found.insert(found.end(), r.as<float>(), r.as<float>() + r.count());
      expect_near(found, here.outputs(in[i]), kFloat32);
    }
  }
}

// ---- by the public API

enum class Kind { kPageable, kPinned, kDevice };
constexpr Kind kKinds[] = {Kind::kPageable, Kind::kPinned, Kind::kDevice};

// A tensor in memory of a kind.
class Held {
 public:
  Held(Kind kind, const Tensor& host) {
    if (kind == Kind::kPageable) {
      tensor = Tensor(host.type(), host.shape());
    } else {
      const bool pinned = kind == Kind::kPinned;
      lent_ = lent(host.type(), host.shape(),
                   pinned ? core::DeviceMemory::Kind::kPinned : core::DeviceMemory::Kind::kDevice);
      tensor = lent_.tensor;
    }
    copy_now(tensor.data(), host.data(), host.bytes());
  }
  Bytes bytes() const {
    Bytes host(tensor.bytes());
    copy_now(host.data(), tensor.data(), host.size());
    return host;
  }
  Tensor tensor;

 private:
  Lent lent_;
};

class Engines : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("fovea_networks_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    write_text_engine(path("segment.fov"), kSegment);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string path(const std::string& name) { return (folder_ / name).string(); }
  static Engine open(const std::string& name, const std::string& device = test_device()) {
    EngineOptions options;
    options.threads = 1, options.device = Device(device);
    return Engine::open(path(name), options);
  }
  static std::vector<float> wanted(const Tensor& in) {
    Context here = open("segment.fov", "cpu").create_context();
    const Tensor out = here.run(std::span(&in, 1))[0];
    return {out.as<float>(), out.as<float>() + out.count()};
  }
  static void expect_wanted(const Bytes& found, const Tensor& in) {
    std::vector<float> values(found.size() / sizeof(float));
    std::memcpy(values.data(), found.data(), found.size());
    expect_near(values, wanted(in), kFloat32);
  }
  static Tensor output(int64_t n) { return Tensor(ElementType::kFloat32, {n, 12, 17, 16}); }

  static fs::path folder_;
};
fs::path Engines::folder_;

TEST_F(Engines, ReadAndWriteMemoryOfEveryKind) {
  const Tensor in = picture(3, 11);
  Context context = open("segment.fov").create_context();
  const Stream stream{Device(test_device())};
  Bytes first;
  for (const Kind from : kKinds)
    for (const Kind to : kKinds) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(from) << " to " << static_cast<int>(to));
      const Held x(from, in);
      for (int run = 0; run < 4; ++run) {
        Held y(to, output(3));
        if (run % 2) context.enqueue(std::span(&x.tensor, 1), std::span(&y.tensor, 1), stream).wait();
        else context.run(std::span(&x.tensor, 1), std::span(&y.tensor, 1));
        if (first.empty()) expect_wanted(first = y.bytes(), in);
        ASSERT_EQ(y.bytes(), first) << "run " << run;
      }
    }
}

// Contexts on streams of their own, none of which waits for another; a thousand runs of a real device's.
TEST_F(Engines, InFlightGiveEachTheirResultAlwaysTheSame) {
  constexpr int64_t kContexts = 4;
  struct Caller {
    Context context;
    Stream stream;
    Tensor in;
    Held x, y;
    Bytes first = {};
    Event over = {};
  };
  const Engine engine = open("segment.fov");
  std::vector<std::unique_ptr<Caller>> callers;
  for (int64_t i = 0; i < kContexts; ++i) {
    const Tensor in = picture(1 + i, static_cast<uint32_t>(i));
    const Kind kind = kKinds[static_cast<size_t>(1 + i % 2)];
    callers.emplace_back(new Caller{engine.create_context(), Stream(Device(test_device())), in, Held(kind, in),
                                    Held(kind, output(1 + i))});
  }
  const int rounds = on_fake() ? 3 : 250;
  for (int round = 0; round < rounds; ++round) {
    for (auto& c : callers)
      c->over = c->context.enqueue(std::span(&c->x.tensor, 1), std::span(&c->y.tensor, 1), c->stream);
    for (size_t i = callers.size(); i-- > 0;) {
      Caller& c = *callers[i];
      c.over.wait();
      if (round == 0) expect_wanted(c.first = c.y.bytes(), c.in);
      ASSERT_EQ(c.y.bytes(), c.first) << "context " << i << ", round " << round;
    }
  }
}

TEST_F(Engines, ServeThreads) {
  const Engine engine = open("segment.fov");
  const auto work = [&](uint32_t seed) {
    Context context = engine.create_context();
    const Tensor in = picture(2 + seed % 2, seed);
    Bytes first;
    for (int run = 0; run < (on_fake() ? 4 : 50); ++run) {
      const Tensor out = context.run(std::span(&in, 1))[0];
      const Bytes found = bytes_of(out.data(), static_cast<size_t>(out.count()) * sizeof(float));
      if (first.empty()) expect_wanted(first = found, in);
      ASSERT_EQ(found, first) << "seed " << seed << ", run " << run;
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& t : threads) t.join();
}

// A whole detector, with sizes that the device decides.
TEST_F(Engines, OfADetectorGiveTheSameBytesEveryTime) {
  FOVEA_NEEDS_SMALL_SSD();
  for (const char* precision : {"fp32", "fp16"}) {
    if (on_fake() && std::string_view(precision) != "fp32") continue;  // it has no other
    CompileOptions options;
    options.timing = false, options.threads = 1, options.device = Device(test_device());
    options.card = small_ssd() + "card.toml", options.precision = precision;
    compile(small_ssd() + "small_ssd.onnx", path("card.fov"), options);
    Context context = open("card.fov").create_context();
    Tensor in(ElementType::kFloat32, {2, 3, 256, 256});
    uint32_t state = 3;
    for (int64_t i = 0; i < in.count(); ++i) {
      state = state * 1664525u + 1013904223u;
      in.as<float>()[i] = static_cast<float>(state >> 8) / (1 << 23) - 1;
    }
    Bytes first;
    for (int run = 0; run < (on_fake() ? 3 : 1000); ++run) {
      Bytes found;
      for (const Tensor& t : context.run(std::span(&in, 1)))
        for (const Bytes& part : {bytes_of(t.shape().data(), t.shape().size() * 8), bytes_of(t.data(), t.bytes())})
          found.insert(found.end(), part.begin(), part.end());
      if (run == 0) first = found;
      ASSERT_EQ(found, first) << precision << ", run " << run;
    }
  }
}

}  // namespace
}  // namespace fovea
