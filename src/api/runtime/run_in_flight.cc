#include "api/runtime/run_in_flight.h"

#include <new>

#include "runtime/executor.h"

namespace fovea {

void RunInFlight::begin(OutputWriter* writer) {
  std::lock_guard lock(mutex_);
  status_ = core::Status();
  writer_ = writer;
  if (!writer) targets_.clear();
  unfinished_ = writer != nullptr;
}

core::Result<bool> RunInFlight::done() {
  FOVEA_TRY_SET(const bool over, over_->done());
  if (over) FOVEA_TRY(finish({}));
  return over;
}

// The lock is held for what is left to do only: others may enqueue while somebody waits for the device.
core::Status RunInFlight::wait() { return finish(over_->wait()); }

core::Status RunInFlight::finish(core::Status device) {
  std::lock_guard lock(mutex_);
  if (!writer_) return device.ok() ? status_ : device;
  try {
    status_ = device.ok() ? writer_->write(targets_) : std::move(device);
  } catch (const std::bad_alloc&) {
    status_ = core::system_error("out of memory while outputs were written");
  }
  writer_ = nullptr;
  targets_.clear();
  unfinished_ = false;
  return status_;
}

bool RunInFlight::writes_to(const void* data, size_t bytes) {
  if (!unfinished_) return false;
  std::lock_guard lock(mutex_);
  for (const OutputTarget& t : targets_)
    if (core::overlap(data, bytes, t.data, t.bytes)) return true;
  return false;
}

}  // namespace fovea
