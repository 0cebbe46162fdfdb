// The caller's own memory on the device that the tests here run on, and what lies there.
#pragma once

#include <fovea/engine.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "backends/device.h"
#include "tests/device/test_device.h"

namespace fovea {

inline std::shared_ptr<core::Device> inside() { return *core::open_device(test_device()); }

struct Lent {
  core::DeviceMemory memory;
  Tensor tensor;
};
inline Lent lent(ElementType type, std::vector<int64_t> shape, core::DeviceMemory::Kind kind) {
  const size_t bytes = Tensor(type, shape).bytes();
  Lent l{*inside()->allocate(static_cast<int64_t>(bytes), kind), {}};
  void* data = l.memory.data();
  l.tensor = kind == core::DeviceMemory::Kind::kDevice
                 ? Tensor::borrow(type, std::move(shape), data, bytes, Device(test_device()))
                 : Tensor::borrow(type, std::move(shape), data, bytes);
  return l;
}

inline void copy_now(void* to, const void* from, size_t bytes) {
  auto stream = *inside()->create_stream();
  EXPECT_TRUE(stream->copy(to, from, static_cast<int64_t>(bytes)).ok());
  EXPECT_TRUE(stream->synchronize().ok());
}
inline Tensor to_host(const Tensor& device) {
  Tensor host(device.type(), device.shape());
  copy_now(host.data(), device.data(), host.bytes());
  return host;
}

}  // namespace fovea
