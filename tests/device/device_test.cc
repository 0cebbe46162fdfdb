// Devices through the public API: on the one that every machine has (fake/fake.cc), or on another (test_device.h).
#include <fovea/compile.h>
#include <fovea/detector.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "tests/api/text_engine.h"
#include "tests/device/device_memory.h"

namespace fovea {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kModel = small_ssd();

// What runs on the device, what does not and comes back, and an input that both read.
constexpr const char* kMixed = R"(symbols(n in [1,64])
graph @main(%x: float32[n,4]) -> (y = %y) {
  %a = Relu(%x)
  %b = Softmax(%a)
  %c = Softmax(%x)
  %d = Add(%b, %c)
  %y = Relu(%d)
})";
constexpr const char* kAdd = R"(symbols(n in [1,64])
graph @main(%x: float32[n,4]) -> (y = %y) {
  %y = Add(%x, %x)
})";

class Devices : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("fovea_device_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    write_text_engine(path("mixed.fov"), kMixed);
    write_text_engine(path("add.fov"), kAdd);
    if (!has_small_ssd()) return;
    CompileOptions options;
    options.timing = false, options.threads = 1, options.device = Device(test_device());
    options.card = kModel + "card.toml";
    compile(kModel + "small_ssd.onnx", path("card.fov"), options);
    options.card.clear();
    compile(kModel + "small_ssd.onnx", path("plain.fov"), options);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static std::string path(const std::string& name) { return (folder_ / name).string(); }
  static Engine open(const std::string& name, const std::string& device = test_device()) {
    EngineOptions options;
    options.threads = 1, options.device = Device(device);
    return Engine::open(path(name), options);
  }
  static Tensor numbers(std::vector<int64_t> shape) {
    Tensor t(ElementType::kFloat32, std::move(shape));
    for (int64_t i = 0; i < t.count(); ++i) t.as<float>()[i] = static_cast<float>(i % 17) - 8;
    return t;
  }
  static std::vector<float> values(const Tensor& t) { return {t.as<float>(), t.as<float>() + t.count()}; }
  template <typename F>
  static void error(F&& f, const std::string& what) {
    try {
      f();
      ADD_FAILURE() << "nothing thrown: " << what;
    } catch (const Error& e) {
      EXPECT_EQ(static_cast<int>(e.code()), 2) << e.what();
      EXPECT_THAT(e.what(), HasSubstr(what));
    }
  }
  static Lent on_device(const Tensor& host) {
    Lent d = lent(host.type(), host.shape(), core::DeviceMemory::Kind::kDevice);
    copy_now(d.tensor.data(), host.data(), host.bytes());
    return d;
  }
  // The fake's kernels are the processor's own.
  static void expect_same(const std::vector<float>& found, const std::vector<float>& want) {
    ASSERT_EQ(found.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(found[i], want[i], on_fake() ? 0 : 1e-5 * (1 + std::abs(want[i]))) << i;
  }

  static fs::path folder_;
};
fs::path Devices::folder_;

TEST_F(Devices, HaveNames) {
  EXPECT_EQ(Device(test_device()), Device(test_device()));
  EXPECT_FALSE(Device(test_device()) == Device());
  EXPECT_EQ(Device(test_device()).name(), test_device());
  EXPECT_THAT(Device(test_device()).description(), HasSubstr(inside()->target().device));
  EXPECT_THROW(Device(test_device().substr(0, test_device().find(':')) + ":9999"), Error);
}

TEST_F(Devices, AnEngineIsPlannedForItsDevice) {
  FOVEA_NEEDS_SMALL_SSD();
  EXPECT_EQ(open("plain.fov").replanned(), "");
  EXPECT_THAT(open("plain.fov", "cpu").replanned(),
              HasSubstr("its recipe was made on '" + inside()->target().device + "'"));
}

// A recipe is good for the libraries and the driver that it was made with, and for no others.
TEST_F(Devices, AnotherDriverOrLibraryPlansAnew) {
  FOVEA_NEEDS_FAKE("it says of its libraries what a test wants");
  FOVEA_NEEDS_SMALL_SSD();
  const Tensor in = numbers({1, 3, 256, 256});
  struct Reset {
    ~Reset() { ::unsetenv("FOVEA_FAKE_LIBRARIES"); }
  } reset;
  const std::string old_driver = "CUDA 13.0, driver 570.86.15 for CUDA 12.8, cuDNN 9.8.0",
                    new_driver = "CUDA 13.0, driver 580.65.06 for CUDA 13.0, cuDNN 9.8.0",
                    new_cudnn = "CUDA 13.0, driver 570.86.15 for CUDA 12.8, cuDNN 9.13.1";
  auto version = [](const std::string& libraries) { ::setenv("FOVEA_FAKE_LIBRARIES", libraries.c_str(), 1); };
  version(old_driver);
  CompileOptions options;
  options.timing = false, options.threads = 1, options.device = Device(test_device());
  compile(kModel + "small_ssd.onnx", path("old.fov"), options);
  EXPECT_EQ(open("old.fov").replanned(), "");
  Context planned = open("old.fov").create_context();
  const auto want = values(planned.run(std::span(&in, 1))[0]);
  for (const std::string& now : {new_driver, new_cudnn}) {
    version(now);
    std::string warning;
    EngineOptions opening;
    opening.threads = 1, opening.device = Device(test_device());
    opening.log = [&](LogLevel level, const std::string& text) {
      if (level == LogLevel::kWarning) warning = text;
    };
    const Engine engine = Engine::open(path("old.fov"), opening);
    EXPECT_EQ(engine.replanned(), "its recipe was made with " + old_driver + ", here is " + now);
    EXPECT_EQ(warning, "planning anew for this machine: " + engine.replanned());
    Context anew = Engine(engine).create_context();
    const auto found = values(anew.run(std::span(&in, 1))[0]);
    ASSERT_EQ(found.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(found[i], want[i], 1e-3 * (1 + std::abs(want[i]))) << i;
  }
  version(old_driver);
  EXPECT_EQ(open("old.fov").replanned(), "");
}

TEST_F(Devices, AnEngineForTheProcessorIsPlannedAnewForADevice) {
  FOVEA_NEEDS_SMALL_SSD();
  CompileOptions options;
  options.timing = false, options.threads = 1;
  compile(kModel + "small_ssd.onnx", path("cpu.fov"), options);
  EXPECT_EQ(open("cpu.fov", "cpu").replanned(), "");
  EXPECT_THAT(open("cpu.fov").replanned(), HasSubstr("this is '" + inside()->target().device + "'"));
  const Tensor in = numbers({1, 3, 256, 256});
  for (const char* name : {"cpu.fov", "plain.fov"}) {  // each where it was not compiled for, and where it was
    Context there = open(name).create_context(), here = open(name, "cpu").create_context();
    const auto found = values(there.run(std::span(&in, 1))[0]), want = values(here.run(std::span(&in, 1))[0]);
    ASSERT_EQ(found.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(found[i], want[i], 1e-3 * (1 + std::abs(want[i]))) << i;
  }
}

TEST_F(Devices, GiveWhatTheProcessorGives) {
  for (const char* name : {"plain.fov", "mixed.fov", "add.fov"}) {
    if (!fs::exists(path(name))) continue;
    Context there = open(name).create_context(), here = open(name, "cpu").create_context();
    for (int64_t n : {1, 3, 1, 1}) {  // the second run of a shape records, the third starts what was recorded
      const Tensor in = std::string(name) == "plain.fov" ? numbers({n, 3, 256, 256}) : numbers({n, 4});
      const auto found = there.run(std::span(&in, 1)), want = here.run(std::span(&in, 1));
      ASSERT_EQ(found.size(), want.size());
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_EQ(found[i].shape(), want[i].shape());
        const auto f = values(found[i]), w = values(want[i]);
        for (size_t k = 0; k < w.size(); ++k) ASSERT_NEAR(f[k], w[k], 1e-3 * (1 + std::abs(w[k]))) << name << " " << k;
      }
    }
  }
}

// Device and pinned memory, streams, events and recorded graphs: the first run takes them, the second records.
TEST_F(Devices, MakeNothingInTheSteadyState) {
  for (const char* name : {"plain.fov", "card.fov", "mixed.fov", "add.fov"}) {
    if (!fs::exists(path(name))) continue;
    const int64_t before = inside()->counts().total();
    Context context = open(name).create_context();
    const bool picture = std::string(name) == "plain.fov" || std::string(name) == "card.fov";
    auto input = [&](int64_t n) { return picture ? numbers({n, 3, 256, 256}) : numbers({n, 4}); };
    const Tensor one = input(1), two = input(2);
    for (int run = 0; run < 2; ++run)
      for (const Tensor* in : {&two, &one}) context.run(std::span(in, 1));
    const core::DeviceCounts settled = inside()->counts();
    EXPECT_GT(settled.total(), before) << name;
    EXPECT_GT(settled.graphs, 0);
    for (int run = 0; run < 3; ++run)
      for (const Tensor* in : {&two, &one}) context.run(std::span(in, 1));
    const core::DeviceCounts after = inside()->counts();
    EXPECT_EQ(after.allocations, settled.allocations) << name;
    EXPECT_EQ(after.streams, settled.streams) << name;
    EXPECT_EQ(after.events, settled.events) << name;
    EXPECT_EQ(after.graphs, settled.graphs) << name;
  }
  Context context = open("add.fov").create_context();
  const Lent x = on_device(numbers({3, 4}));
  Lent y = on_device(Tensor(ElementType::kFloat32, {3, 4}));
  const Stream stream{Device(test_device())};
  int64_t settled = 0;
  for (int run = 0; run < 5; ++run) {
    context.enqueue(std::span(&x.tensor, 1), std::span(&y.tensor, 1), stream).wait();
    if (run == 1) settled = inside()->counts().total();
  }
  EXPECT_EQ(inside()->counts().total(), settled);
}

TEST_F(Devices, InputsAndOutputsMayLieInTheirMemory) {
  for (const char* name : {"mixed.fov", "add.fov"}) {
    Context there = open(name).create_context(), here = open(name, "cpu").create_context();
    for (int run = 0; run < 4; ++run) {
      const Tensor in = numbers({5, 4});
      const auto want = values(here.run(std::span(&in, 1))[0]);
      const Lent x = on_device(in);
      expect_same(values(there.run(std::span(&x.tensor, 1))[0]), want);
      Lent y = on_device(Tensor(ElementType::kFloat32, {8, 4}));  // with room to spare
      there.run(std::span(&x.tensor, 1), std::span(&y.tensor, 1));
      EXPECT_EQ(y.tensor.shape(), in.shape());
      expect_same(values(to_host(y.tensor)), want);
      there.run(std::span(&in, 1), std::span(&y.tensor, 1));
      expect_same(values(to_host(y.tensor)), want);
      there.check_finite(run % 2 == 0);  // then the host reads the input
    }
  }
}

TEST_F(Devices, AStreamIsAnOrder) {
  Context first = open("add.fov").create_context(), second = open("add.fov").create_context();
  const Lent x = on_device(numbers({3, 4}));
  Lent y = on_device(Tensor(ElementType::kFloat32, {3, 4})), z = on_device(Tensor(ElementType::kFloat32, {3, 4}));
  const Stream stream{Device(test_device())};
  for (int run = 0; run < 3; ++run) {
    const Event half = first.enqueue(std::span(&x.tensor, 1), std::span(&y.tensor, 1), stream);
    const Event all = second.enqueue(std::span(&y.tensor, 1), std::span(&z.tensor, 1), stream);
    if (on_fake()) {
      EXPECT_FALSE(half.done() || all.done());  // this device does nothing before somebody waits
    }
    all.wait();
    EXPECT_TRUE(half.done() && all.done());
    for (int64_t i = 0; i < 12; ++i) EXPECT_EQ(to_host(z.tensor).as<float>()[i], 4 * numbers({3, 4}).as<float>()[i]);
  }
  const Event last = first.enqueue(std::span(&x.tensor, 1), std::span(&y.tensor, 1), stream);
  stream.synchronize();
  EXPECT_TRUE(last.done());
  (void)first.enqueue(std::span(&x.tensor, 1), std::span(&y.tensor, 1),
                      stream);  // a context may go while its run is on
}

TEST_F(Devices, SizesThatDataDecidesAreKnownWhenTheRunIsOver) {
  FOVEA_NEEDS_SMALL_SSD();
  Context there = open("card.fov").create_context(), here = open("card.fov", "cpu").create_context();
  const Tensor in = numbers({1, 3, 256, 256});
  std::vector<Tensor> found, want;
  const auto capacity = there.output_capacity({in.shape()});
  for (size_t i = 0; i < capacity.size(); ++i) {
    found.emplace_back(open("card.fov").outputs()[i].type, capacity[i]);
    want.emplace_back(found[i].type(), capacity[i]);
  }
  const Stream stream{Device(test_device())};
  const Event over = there.enqueue(std::span(&in, 1), found, stream);
  if (on_fake()) {
    EXPECT_FALSE(over.done());
  }
  over.wait();
  here.run(std::span(&in, 1), want);
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(found[i].shape(), want[i].shape());
}

// As many as there are: what one run finds does not bound the next.
TEST_F(Devices, ADetectorFindsTheSame) {
  FOVEA_NEEDS_SMALL_SSD();
  Detector there(open("card.fov")), here(open("card.fov", "cpu"));
  for (const char* name : {"000005.jpg", "000003.jpg", "000006.jpg", "000005.jpg", "000006.jpg"}) {
    const Picture picture = read_picture(kModel + "pictures/" + name);
    const auto found = there.detect(picture), want = here.detect(picture);
    ASSERT_EQ(found.size(), want.size()) << name;
    ASSERT_FALSE(want.empty());
    EXPECT_EQ(found[0].label, want[0].label);
    EXPECT_NEAR(found[0].score, want[0].score, on_fake() ? 1e-4 : 1e-3);
    EXPECT_NEAR(found[0].x0, want[0].x0, on_fake() ? 0.01 : 0.05);
  }
}

TEST_F(Devices, WhatLiesElsewhereIsRefused) {
  const Tensor in = numbers({3, 4});
  const Lent x = on_device(in);
  Tensor out(ElementType::kFloat32, {3, 4});
  Lent y = on_device(out);
  Context cpu = open("add.fov", "cpu").create_context(), there = open("add.fov").create_context();
  error([&] { cpu.run(std::span(&x.tensor, 1)); }, "input 'x' lies on " + test_device() + ", the engine runs on cpu");
  error([&] { cpu.run(std::span(&in, 1), std::span(&y.tensor, 1)); },
        "output 'y' lies on " + test_device() + ", the engine runs on cpu");
  error([&] { cpu.enqueue(std::span(&in, 1), std::span(&out, 1), Stream(Device(test_device()))); },
        "stream: expected one of cpu, where the engine runs, found one of " + test_device());
  error([&] { there.enqueue(std::span(&in, 1), std::span(&out, 1), Stream()); },
        "stream: expected one of " + test_device() + ", where the engine runs, found one of cpu");
  error([&] { Tensor::borrow(ElementType::kFloat32, {1}, out.data(), 4, Device(test_device())); },
        "expected memory of " + test_device() + ", found some that is not the device's");
  there.run(std::span(&in, 1), std::span(&out, 1));  // it still works
  EXPECT_EQ(out.as<float>()[1], -14);
}

TEST_F(Devices, AnObserverHearsTheirSteps) {
  Context c = open("mixed.fov").create_context();
  const Tensor in = numbers({2, 4});
  std::vector<std::string> kernels;
  c.set_observer([&](const StepInfo& s) {
    kernels.push_back(s.kernel);
    EXPECT_LE(s.begin_ns, s.end_ns);
  });
  c.run(std::span(&in, 1));
  if (on_fake()) {
    EXPECT_THAT(kernels, testing::IsSupersetOf({"fake_relu", "fake_add", "transfer"}));
  }
  EXPECT_THAT(kernels, testing::Contains("transfer"));
  EXPECT_GT(kernels.size(), 2u);
}

}  // namespace
}  // namespace fovea
