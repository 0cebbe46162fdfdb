// What the handles of Device, Stream and Event hold.
#pragma once

#include <fovea/device.h>

#include <mutex>

#include "api/runtime/run_in_flight.h"
#include "backends/device.h"

namespace fovea {

inline std::shared_ptr<core::Device> inner(const Device& device) {  // null: the CPU
  return std::static_pointer_cast<core::Device>(device.handle());
}

struct StreamHandle {
  std::mutex mutex;
  std::unique_ptr<core::DeviceStream> stream;
  std::vector<std::shared_ptr<RunInFlight>> unfinished;  // of whose outputs some may be left to write

  // What runs still have to write is written before the next one reads or writes there. Under the mutex.
  void clear_way(std::span<const Tensor> inputs, std::span<const Tensor> outputs);
};

}  // namespace fovea
