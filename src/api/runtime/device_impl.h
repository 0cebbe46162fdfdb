// What the handles of Device, Stream and Event hold.
#pragma once

#include <fovea/device.h>

#include <mutex>

#include "backends/device.h"

namespace fovea {

inline std::shared_ptr<core::Device> inner(const Device& device) {  // null: the CPU
  return std::static_pointer_cast<core::Device>(device.handle());
}

struct StreamHandle {
  std::mutex mutex;
  std::unique_ptr<core::DeviceStream> stream;
};

}  // namespace fovea
