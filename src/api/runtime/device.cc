#include <fovea/device.h>

#include "api/bridge.h"
#include "backends/cpu/target.h"

namespace fovea {

Device::Device() = default;

Device::Device(const std::string& name) {
  edge([&] {
    if (name != "cpu")
      throw Error(ErrorCode::kUnsupported, "device '" + name + "': this build of fovea runs on 'cpu' only");
  });
}

std::string Device::name() const { return "cpu"; }

std::string Device::description() const {
  return edge([] {
    const core::Target t = core::cpu_target();
    return t.device + " (" + t.features + ")";
  });
}

Stream::Stream(const Device& device) : device_(device) {}
void Stream::synchronize() const {}

bool Event::done() const { return true; }
void Event::wait() const {}

}  // namespace fovea
