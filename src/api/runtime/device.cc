#include <fovea/device.h>

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

void Stream::synchronize() const {
  edge([&] {
    if (!handle_) return;
    auto& handle = *static_cast<StreamHandle*>(handle_.get());
    std::lock_guard lock(handle.mutex);
    check(handle.stream->synchronize());
  });
}

bool Event::done() const {
  return edge([&] { return !handle_ || take(static_cast<core::DeviceEvent*>(handle_.get())->done()); });
}

void Event::wait() const {
  edge([&] {
    if (handle_) check(static_cast<core::DeviceEvent*>(handle_.get())->wait());
  });
}

}  // namespace fovea
