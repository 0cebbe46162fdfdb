// What the device says of itself, and what it counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "backends/cuda/cuda.h"

namespace fovea::core {
namespace {

TEST(CudaDevice, SaysWhatItCanDoAndWithWhat) {
  auto device = cuda::CudaDevice::open(0);
  if (!device.ok()) GTEST_SKIP() << device.status().message();
  const auto found = std::static_pointer_cast<cuda::CudaDevice>(*device);
  const Limits& l = found->limits();
  EXPECT_GT(l.bytes_per_second, 50e9);
  EXPECT_LT(l.bytes_per_second, 20e12);
  if (l.flops_fp32 > 0) {  // of an architecture that the table has
    EXPECT_GT(l.flops_fp32, 1e12);
    EXPECT_GE(l.flops_tf32, l.flops_fp32);
    EXPECT_GT(l.flops_fp16, l.flops_tf32);
  }
  const auto& p = found->properties();
  if (p.major == 9 && p.minor == 0)  // the white paper's 989 TFLOP/s are of an H100 SXM; others have other clocks
    EXPECT_NEAR(l.flops_fp16 / l.flops_fp32, 16, 1e-6);
  EXPECT_THAT(found->target().libraries, testing::HasSubstr("cuDNN " + cuda::version_text(*cuda::cudnn_version())));
  EXPECT_THAT(found->target().libraries, testing::HasSubstr("driver " + cuda::driver_version()));
}

TEST(CudaDevice, CountsWhatItMakes) {
  auto opened = cuda::CudaDevice::open(0);
  if (!opened.ok()) GTEST_SKIP() << opened.status().message();
  Device& device = **opened;
  const DeviceCounts before = device.counts();
  auto memory = device.allocate(4096, DeviceMemory::Kind::kDevice);
  auto pinned = device.allocate(4096, DeviceMemory::Kind::kPinned);
  auto stream = device.create_stream();
  auto event = device.create_event();
  ASSERT_TRUE(memory.ok() && pinned.ok() && stream.ok() && event.ok());
  ASSERT_TRUE((*stream)->begin_capture().ok());
  ASSERT_TRUE((*stream)->zero(memory->data(), 4096).ok());
  auto graph = (*stream)->end_capture();
  ASSERT_TRUE(graph.ok()) << graph.status().message();
  const DeviceCounts made = device.counts();
  EXPECT_EQ(made.allocations - before.allocations, 2);
  EXPECT_EQ(made.streams - before.streams, 1);
  EXPECT_EQ(made.events - before.events, 1);
  EXPECT_EQ(made.graphs - before.graphs, 1);
  for (int run = 0; run < 3; ++run) ASSERT_TRUE((*stream)->launch(**graph).ok());
  ASSERT_TRUE((*stream)->record(**event).ok() && (*stream)->synchronize().ok());
  EXPECT_EQ(device.counts().total(), made.total());
}

double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

TEST(CudaDevice, EventsOfEitherKindAreWaitedFor) {
  auto opened = cuda::CudaDevice::open(0);
  if (!opened.ok()) GTEST_SKIP() << opened.status().message();
  Device& device = **opened;
  auto stream = device.create_stream();
  auto memory = device.allocate(int64_t{64} << 20, DeviceMemory::Kind::kDevice);
  ASSERT_TRUE(stream.ok() && memory.ok());
  for (const bool lets_sleep : {false, true}) {
    auto begin = device.create_event(lets_sleep), end = device.create_event(lets_sleep);
    ASSERT_TRUE(begin.ok() && end.ok());
    ASSERT_TRUE((*stream)->record(**begin).ok());
    for (int i = 0; i < 900; ++i) ASSERT_TRUE((*stream)->zero(memory->data(), memory->bytes()).ok());
    ASSERT_TRUE((*stream)->record(**end).ok());
    const double wall = seconds(CLOCK_MONOTONIC), busy = seconds(CLOCK_THREAD_CPUTIME_ID);
    ASSERT_TRUE((*end)->wait().ok());
    const double waited = seconds(CLOCK_MONOTONIC) - wall;
    if (lets_sleep && waited > 2e-3) EXPECT_LT(seconds(CLOCK_THREAD_CPUTIME_ID) - busy, waited / 2);
    EXPECT_TRUE(*(*end)->done());
    EXPECT_GT(*(*end)->ms_since(**begin), 0.0);
  }
}

}  // namespace
}  // namespace fovea::core
