// Device, Stream, Event: where a run happens and when it is done. Opaque, so that a GPU fits in.
#pragma once

#include <fovea/api.h>

#include <memory>
#include <string>

namespace fovea {

class FOVEA_API Device {
 public:
  Device();                                  // the CPU
  explicit Device(const std::string& name);  // "cpu"; throws Unsupported for a device that this build or machine lacks
  std::string name() const;                  // "cpu"
  std::string description() const;           // the processor's name and features
  bool operator==(const Device&) const = default;

 private:
  int kind_ = 0, index_ = 0;
};

// An order of runs on a device. On the CPU a run happens in the thread that asks for it, so a stream holds nothing.
class FOVEA_API Stream {
 public:
  explicit Stream(const Device& device = Device());
  const Device& device() const { return device_; }
  void synchronize() const;  // until all that was enqueued is done

 private:
  Device device_;
  std::shared_ptr<void> handle_;
};

// The end of a run. On the CPU complete as soon as enqueue() returns.
class FOVEA_API Event {
 public:
  bool done() const;
  void wait() const;

 private:
  std::shared_ptr<void> handle_;
};

}  // namespace fovea
