// A run that was enqueued, as its Event, its Stream and its Context know it.
#pragma once

#include <fovea/tensor.h>

#include <atomic>
#include <mutex>
#include <span>
#include <vector>

#include "backends/device.h"

namespace fovea {

// Where the caller wants an output.
struct OutputTarget {
  void* data = nullptr;
  size_t bytes = 0;
  bool on_device = false;
  Tensor* tensor = nullptr;     // that is told its shape when the run is over; null: it knows
  std::shared_ptr<void> owner;  // of the memory
};

// Brings outputs where they belong when the device is done.
class OutputWriter {
 public:
  virtual core::Status write(std::span<const OutputTarget> targets) = 0;

 protected:
  ~OutputWriter() = default;
};

// Whoever waits first does what the device has left to do, any thread. Used again when only the context holds it.
class RunInFlight {
 public:
  explicit RunInFlight(std::unique_ptr<core::DeviceEvent> over) : over_(std::move(over)) {}
  core::DeviceEvent& over() { return *over_; }  // all of it on the device

  // Before anybody else hears of it. Without a writer nothing is left to do behind over().
  void begin(OutputWriter* writer);
  std::vector<OutputTarget>& targets() { return targets_; }

  core::Result<bool> done();  // does not wait for the device
  core::Status wait();
  bool unfinished() const { return unfinished_; }
  // Does it still have to write there?
  bool writes_to(const void* data, size_t bytes);

 private:
  core::Status finish(core::Status device);

  std::unique_ptr<core::DeviceEvent> over_;
  std::atomic<bool> unfinished_ = false;
  std::mutex mutex_;  // of what follows
  OutputWriter* writer_ = nullptr;
  std::vector<OutputTarget> targets_;
  core::Status status_;
};

}  // namespace fovea
