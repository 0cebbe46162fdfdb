// Device, Stream, Event: where a run happens and when it is done.
#pragma once

#include <fovea/api.h>

#include <memory>
#include <string>

namespace fovea {

class FOVEA_API Device {
 public:
  Device();  // the CPU
  // "cpu" or "cuda:0". Throws InvalidArgument for what is no device's name, Unsupported for a device that this build or
  // machine lacks.
  explicit Device(const std::string& name);
  std::string name() const;         // "cpu", "cuda:0"
  std::string description() const;  // what it is: the processor's or GPU's name and features
  bool operator==(const Device&) const = default;
  const std::shared_ptr<void>& handle() const { return handle_; }  // fovea's own; empty for the CPU

 private:
  std::shared_ptr<void> handle_;
};

// An order of runs on a device: what is enqueued on a stream begins when what was enqueued before it is over. Any
// number of threads may use one. On the CPU a run happens in the thread that asks for it, so a stream holds nothing.
class FOVEA_API Stream {
 public:
  explicit Stream(const Device& device = Device());  // throws System if the device cannot make one
  const Device& device() const { return device_; }
  void synchronize() const;  // until all that was enqueued is done; throws as Event::wait() does

 private:
  friend class Context;
  Device device_;
  std::shared_ptr<void> handle_;
};

// The end of a run; a default-constructed one is over. On the CPU complete as soon as enqueue() returns. Both functions
// throw what the run would have thrown: System where the device failed. Any number of threads may ask.
class FOVEA_API Event {
 public:
  bool done() const;  // does not wait for the device
  void wait() const;

 private:
  friend class Context;
  std::shared_ptr<void> handle_;
};

}  // namespace fovea
