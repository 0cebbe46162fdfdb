#include <fovea/device.h>

#include <algorithm>

#include "api/bridge.h"
#include "api/runtime/device_impl.h"
#include "backends/cpu/target.h"

namespace fovea {

Device::Device() = default;

Device::Device(const std::string& name) {
  edge([&] {
    if (name != "cpu") handle_ = take(core::open_device(name));
  });
}

std::string Device::name() const {
  return edge([&] { return handle_ ? inner(*this)->name() : "cpu"; });
}

std::string Device::description() const {
  return edge([&] {
    const core::Target t = handle_ ? inner(*this)->target() : core::cpu_target();
    return t.device + " (" + t.features + ")";
  });
}

Stream::Stream(const Device& device) : device_(device) {
  edge([&] {
    if (!device.handle()) return;
    auto handle = std::make_shared<StreamHandle>();
    handle->stream = take(inner(device)->create_stream());
    handle_ = std::move(handle);
  });
}

void StreamHandle::clear_way(std::span<const Tensor> inputs, std::span<const Tensor> outputs) {
  std::erase_if(unfinished, [&](const std::shared_ptr<RunInFlight>& run) {
    const auto there = [&](const Tensor& t) { return run->writes_to(t.data(), t.bytes()); };
    if (std::ranges::any_of(inputs, there) || std::ranges::any_of(outputs, there)) (void)run->wait();
    return !run->unfinished();
  });
}

void Stream::synchronize() const {
  edge([&] {
    if (!handle_) return;
    auto& handle = *static_cast<StreamHandle*>(handle_.get());
    std::unique_lock lock(handle.mutex);
    check(handle.stream->synchronize());
    // The device is done: what is left takes no time to speak of.
    core::Status failed;
    for (const auto& run : handle.unfinished)
      if (core::Status s = run->wait(); failed.ok()) failed = std::move(s);
    handle.unfinished.clear();
    check(failed);
  });
}

bool Event::done() const {
  return edge([&] { return !handle_ || take(static_cast<RunInFlight*>(handle_.get())->done()); });
}

void Event::wait() const {
  edge([&] {
    if (handle_) check(static_cast<RunInFlight*>(handle_.get())->wait());
  });
}

}  // namespace fovea
