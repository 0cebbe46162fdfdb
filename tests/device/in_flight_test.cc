// Runs that are enqueued and not waited for, with the caller's tensors in any memory.
#include <fovea/engine.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/api/text_engine.h"
#include "tests/device/device_memory.h"

namespace fovea {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kTwice = R"(symbols(n in [1,64])
graph @main(%x: float32[n,4]) -> (y = %y) {
  %y = Add(%x, %x)
})";
// How many there are is decided by scores, and `passed` is an input.
constexpr const char* kDetect = R"(symbols(n in [1,16])
graph @main(%boxes: float32[n,40,4], %scores: float32[n,40,3]) -> (kept = %kept, s = %s, passed = %boxes, sum = %sum) {
  %kept, %s = Nms(%boxes, %scores) {box_form="centre", score_threshold=0.5, iou_threshold=0.4, max_per_group=10, output="indices"}
  %sum = Add(%boxes, %boxes)
})";

class InFlight : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::temp_directory_path() / ("fovea_in_flight_test_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    write_text_engine((folder_ / "twice.fov").string(), kTwice);
    write_text_engine((folder_ / "detect.fov").string(), kDetect);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }
  static Context context(const std::string& name, const std::string& device = test_device()) {
    EngineOptions options;
    options.threads = 2, options.device = Device(device);
    return Engine::open((folder_ / name).string(), options).create_context();
  }
  static Tensor numbers(std::vector<int64_t> shape, float first) {
    Tensor t(ElementType::kFloat32, std::move(shape));
    for (int64_t i = 0; i < t.count(); ++i) t.as<float>()[i] = first + static_cast<float>(i % 17);
    return t;
  }
  static void expect_twice(const Tensor& found, float first) {
    for (int64_t i = 0; i < found.count(); ++i)
      ASSERT_EQ(found.as<float>()[i], 2 * (first + static_cast<float>(i % 17))) << i;
  }
  // Of what is in flight: this device does nothing before somebody waits.
  static void expect_open(const Event& event) {
    if (on_fake()) {
      EXPECT_FALSE(event.done());
    }
  }

  static fs::path folder_;
};
fs::path InFlight::folder_;

TEST_F(InFlight, PageableMemoryIsNotWaitedFor) {
  Context c = context("twice.fov");
  const Stream stream{Device(test_device())};
  for (int run = 0; run < 4; ++run) {
    const auto first = static_cast<float>(run);
    Tensor in = numbers({5, 4}, first), out(ElementType::kFloat32, {9, 4});
    const Event over = c.enqueue(std::span(&in, 1), std::span(&out, 1), stream);
    EXPECT_EQ(out.shape(), in.shape());
    expect_open(over);
    over.wait();
    EXPECT_TRUE(over.done());
    expect_twice(out, first);
  }
}

// More than one piece goes through pinned memory at once.
TEST_F(InFlight, LargePageableInputsArriveWhole) {
  write_text_engine((folder_ / "large.fov").string(), R"(symbols(n in [1,9000000])
graph @main(%x: float32[n]) -> (y = %y) {
  %y = Add(%x, %x)
})");
  Context c = context("large.fov");
  const Stream stream{Device(test_device())};
  const Tensor in = numbers({2700001}, 1);
  Tensor out(ElementType::kFloat32, {2700001});
  c.enqueue(std::span(&in, 1), std::span(&out, 1), stream).wait();
  expect_twice(out, 1);
}

TEST_F(InFlight, WhoeverComesFirstFinishesARun) {
  const Tensor in = numbers({5, 4}, 1);
  Tensor out(ElementType::kFloat32, {5, 4});
  const Stream stream{Device(test_device())};
  auto started = [&](Context& c) {
    for (int64_t i = 0; i < out.count(); ++i) out.as<float>()[i] = 0;
    return c.enqueue(std::span(&in, 1), std::span(&out, 1), stream);
  };
  std::optional<Context> c(context("twice.fov"));
  (void)started(*c);
  stream.synchronize();
  expect_twice(out, 1);
  (void)started(*c);
  c->prepare({{3, 4}});
  expect_twice(out, 1);
  const Event second = started(*c);
  const Tensor other = numbers({5, 4}, 7);
  const auto looks = c->run(std::span(&other, 1));
  expect_twice(out, 1);
  expect_twice(looks[0], 7);
  EXPECT_TRUE(second.done());
  const Event last = started(*c);
  c.reset();
  expect_twice(out, 1);
  EXPECT_TRUE(last.done());
  last.wait();
}

TEST_F(InFlight, ARunOfTheSameStreamReadsWhatTheLastOneWrites) {
  Context first = context("twice.fov"), second = context("twice.fov");
  const Stream stream{Device(test_device())};
  const Tensor in = numbers({5, 4}, 1);
  Tensor half(ElementType::kFloat32, {5, 4}), all(ElementType::kFloat32, {5, 4});
  for (int run = 0; run < 3; ++run) {
    (void)first.enqueue(std::span(&in, 1), std::span(&half, 1), stream);
    second.enqueue(std::span(&half, 1), std::span(&all, 1), stream).wait();
    EXPECT_EQ(all.as<float>()[3], 4 * in.as<float>()[3]);
  }
}

// The memory that carries inputs to the device serves one run after the other.
TEST_F(InFlight, OneContextTwiceWithoutWaiting) {
  Context c = context("twice.fov");
  const Stream stream{Device(test_device())};
  constexpr auto kDevice = core::DeviceMemory::Kind::kDevice;
  Lent y = lent(ElementType::kFloat32, {5, 4}, kDevice), z = lent(ElementType::kFloat32, {5, 4}, kDevice);
  for (int run = 0; run < 3; ++run) {
    Tensor in = numbers({5, 4}, 1);
    (void)c.enqueue(std::span(&in, 1), std::span(&y.tensor, 1), stream);
    Tensor next = numbers({5, 4}, 30);
    const Event over = c.enqueue(std::span(&next, 1), std::span(&z.tensor, 1), stream);
    expect_open(over);
    over.wait();
    expect_twice(to_host(y.tensor), 1);
    expect_twice(to_host(z.tensor), 30);
  }
}

TEST_F(InFlight, SeveralContextsOnSeveralStreams) {
  constexpr size_t kMany = 4;
  std::vector<Context> contexts;
  std::vector<Stream> streams;
  std::vector<Tensor> in, out;
  for (size_t i = 0; i < kMany; ++i) {
    contexts.push_back(context("twice.fov"));
    streams.emplace_back(Device(test_device()));
    in.push_back(numbers({5, 4}, static_cast<float>(i)));
    out.emplace_back(ElementType::kFloat32, std::vector<int64_t>{5, 4});
  }
  for (int run = 0; run < 4; ++run) {
    std::vector<Event> over;
    for (size_t i = 0; i < kMany; ++i)
      over.push_back(contexts[i].enqueue(std::span(&in[i], 1), std::span(&out[i], 1), streams[i]));
    for (const Event& e : over) expect_open(e);
    std::vector<std::thread> threads;  // a run may be waited for elsewhere
    for (size_t i = 0; i < kMany; ++i) threads.emplace_back([&, i] { over[kMany - 1 - i].wait(); });
    for (std::thread& t : threads) t.join();
    for (size_t i = 0; i < kMany; ++i) expect_twice(out[i], static_cast<float>(i));
  }
}

TEST_F(InFlight, OneThreadEnqueuesWhileAnotherWaits) {
  Context c = context("twice.fov");
  const Stream stream{Device(test_device())};
  const Tensor in = numbers({5, 4}, 3);
  std::vector<Tensor> out;
  for (int i = 0; i < 20; ++i) out.emplace_back(ElementType::kFloat32, std::vector<int64_t>{5, 4});
  std::vector<std::thread> threads;
  for (Tensor& to : out) {
    const Event over = c.enqueue(std::span(&in, 1), std::span(&to, 1), stream);
    threads.emplace_back([over] { over.wait(); });
  }
  for (std::thread& t : threads) t.join();
  for (const Tensor& t : out) expect_twice(t, 3);
}

TEST_F(InFlight, TheSteadyStateMakesNothing) {
  Context c = context("twice.fov");
  const Stream stream{Device(test_device())};
  const Tensor in = numbers({5, 4}, 1);
  Tensor out(ElementType::kFloat32, {5, 4});
  int64_t settled = 0;
  for (int run = 0; run < 6; ++run) {
    c.enqueue(std::span(&in, 1), std::span(&out, 1), stream).wait();
    if (run == 1) settled = inside()->counts().total();
  }
  EXPECT_EQ(inside()->counts().total(), settled);
}

// ---- sizes that data decides

class Sizes : public InFlight {
 protected:
  static std::vector<Tensor> inputs(int kept) {
    std::vector<Tensor> in{Tensor(ElementType::kFloat32, {2, 40, 4}), Tensor(ElementType::kFloat32, {2, 40, 3})};
    for (int64_t i = 0; i < 80; ++i)
      for (int64_t k = 0; k < 4; ++k) in[0].as<float>()[4 * i + k] = k < 2 ? static_cast<float>(10 * i) : 4;
    for (int i = 0; i < kept; ++i) in[1].as<float>()[3 * i] = 0.6F + 0.001F * static_cast<float>(i);
    return in;
  }
  static std::vector<Tensor> outputs(Context& c, bool short_of_room = false) {
    const auto most = c.output_capacity({{2, 40, 4}, {2, 40, 3}});
    const ElementType types[] = {ElementType::kInt64, ElementType::kFloat32, ElementType::kFloat32,
                                 ElementType::kFloat32};
    std::vector<Tensor> out;
    for (size_t i = 0; i < most.size(); ++i) out.emplace_back(types[i], most[i]);
    if (short_of_room) out[1] = Tensor(ElementType::kFloat32, {5});
    return out;
  }
  static void expect_same(std::span<const Tensor> found, std::span<const Tensor> want) {
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(found[i].shape(), want[i].shape()) << i;
      const auto bytes = static_cast<size_t>(want[i].count()) * (want[i].type() == ElementType::kInt64 ? 8 : 4);
      EXPECT_EQ(std::memcmp(found[i].data(), want[i].data(), bytes), 0) << i;
    }
  }
};

TEST_F(Sizes, AreKnownWhenTheRunIsOver) {
  Context there = context("detect.fov"), here = context("detect.fov", "cpu");
  const Stream stream{Device(test_device())};
  std::vector<Tensor> found = outputs(there), want = outputs(here);
  for (const int kept : {3, 0, 7, 5}) {
    const std::vector<Tensor> in = inputs(kept);
    here.run(in, want);
    EXPECT_EQ(want[1].shape()[0], kept);
    const Event over = there.enqueue(in, found, stream);
    expect_open(over);
    over.wait();
    expect_same(found, want);
    for (const Tensor& t : found) ASSERT_GE(t.bytes(), 1U);
  }
}

TEST_F(Sizes, AreKnownInMemoryOfTheDeviceToo) {
  Context there = context("detect.fov"), here = context("detect.fov", "cpu");
  const Stream stream{Device(test_device())};
  std::vector<Tensor> want = outputs(here);
  for (const auto kind : {core::DeviceMemory::Kind::kDevice, core::DeviceMemory::Kind::kPinned}) {
    std::vector<Lent> room;
    std::vector<Tensor> found;
    for (const Tensor& t : outputs(there)) {
      room.push_back(lent(t.type(), t.shape(), kind));
      found.push_back(room.back().tensor);
    }
    for (const int kept : {3, 7, 0, 5}) {
      const std::vector<Tensor> in = inputs(kept);
      here.run(in, want);
      const Event over = there.enqueue(in, found, stream);
      expect_open(over);
      over.wait();
      std::vector<Tensor> host;
      for (const Tensor& t : found) host.push_back(to_host(t));
      expect_same(host, want);
      there.run(in, found);
      for (size_t i = 0; i < found.size(); ++i) host[i] = to_host(found[i]);
      expect_same(host, want);
    }
  }
}

// Without room for the most that can be it is not known before whether there is enough.
TEST_F(Sizes, WithLittleRoomAreWaitedFor) {
  Context c = context("detect.fov");
  const Stream stream{Device(test_device())};
  std::vector<Tensor> out = outputs(c, /*short_of_room=*/true);
  EXPECT_TRUE(c.enqueue(inputs(4), out, stream).done());
  EXPECT_EQ(out[1].shape(), std::vector<int64_t>{4});
  out[3].as<float>()[0] = -1;
  try {
    (void)c.enqueue(inputs(7), out, stream);
    ADD_FAILURE() << "nothing thrown";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("output 's': expected writable float32 memory of 28 bytes, found 20"));
  }
  EXPECT_EQ(out[3].as<float>()[0], -1);  // nothing is written then
  EXPECT_TRUE(c.enqueue(inputs(2), out, stream).done());
  EXPECT_EQ(out[1].shape(), std::vector<int64_t>{2});
}

}  // namespace
}  // namespace fovea
