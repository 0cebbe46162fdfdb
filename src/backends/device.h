// A device other than the processor: memory, streams, captured work. Backends implement it, each in a library of its
// own that is opened when a device of its kind is asked for; nothing else knows what they are made of.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "backends/format.h"
#include "backends/target.h"
#include "base/log.h"
#include "base/status.h"
#include "ir/tensor.h"

namespace fovea::core {

struct KernelRow;

// Owned memory: the device's own, or of the host, pinned so that copies need not wait.
class DeviceMemory {
 public:
  enum class Kind : uint8_t { kDevice, kPinned };
  using Free = void (*)(void* data, void* owner);

  DeviceMemory() = default;
  DeviceMemory(void* data, int64_t bytes, Free free, void* owner)
      : data_(static_cast<std::byte*>(data)), bytes_(bytes), free_(free), owner_(owner) {}
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_), std::swap(bytes_, other.bytes_);
    std::swap(free_, other.free_), std::swap(owner_, other.owner_);
    return *this;
  }
  ~DeviceMemory() {
    if (data_) free_(data_, owner_);
  }
  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  void reset() { const DeviceMemory old(std::move(*this)); }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
  Free free_ = nullptr;
  void* owner_ = nullptr;
};

// A point in a stream's work.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  virtual Result<bool> done() = 0;
  virtual Status wait() = 0;  // the calling thread
  // Milliseconds between two recorded points of one device, both of which are over.
  virtual Result<double> ms_since(const DeviceEvent& earlier) const = 0;
};

// Work that was recorded once and can be started as a whole.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
};

// Work in order. Not for two threads at once.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;
  // Copies between any two of the device's, pinned and pageable memory. From pageable memory it returns when the source
  // has been read; into pageable memory, when the copy is over.
  virtual Status copy(void* to, const void* from, int64_t bytes) = 0;
  virtual Status zero(void* to, int64_t bytes) = 0;
  virtual Status record(DeviceEvent& event) = 0;
  virtual Status wait_for(const DeviceEvent& event) = 0;  // the stream does, not the caller
  virtual Status synchronize() = 0;
  // What is asked of the stream in between is kept, not done.
  virtual Status begin_capture() = 0;
  virtual Result<std::unique_ptr<DeviceGraph>> end_capture() = 0;
  virtual Status launch(DeviceGraph& graph) = 0;
  // Names what follows, up to end_range(), to profilers that listen.
  virtual void begin_range(const char* name) = 0;
  virtual void end_range() = 0;
};

// A range as long as a scope; none without a stream.
class DeviceRange {
 public:
  DeviceRange(DeviceStream* stream, const char* name) : stream_(stream) {
    if (stream_) stream_->begin_range(name);
  }
  ~DeviceRange() {
    if (stream_) stream_->end_range();
  }
  DeviceRange(const DeviceRange&) = delete;
  DeviceRange& operator=(const DeviceRange&) = delete;

 private:
  DeviceStream* stream_;
};

struct Telemetry {  // what could not be read is negative
  double clock_mhz = -1, memory_clock_mhz = -1, power_watts = -1, temperature_celsius = -1;
};

// What a thread had made by the devices of a backend, since it began.
struct DeviceCounts {
  int64_t allocations = 0;  // of device and pinned memory
  int64_t streams = 0, events = 0, graphs = 0;
  int64_t total() const { return allocations + streams + events + graphs; }
  DeviceCounts& operator+=(const DeviceCounts& o) {
    allocations += o.allocations, streams += o.streams, events += o.events, graphs += o.graphs;
    return *this;
  }
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const std::string& name() const = 0;  // "cuda:0"
  virtual const Target& target() const = 0;
  virtual const Limits& limits() const = 0;
  virtual std::span<const KernelRow* const> kernels() const = 0;
  virtual Result<DeviceMemory> allocate(int64_t bytes, DeviceMemory::Kind kind) = 0;
  virtual Result<std::unique_ptr<DeviceStream>> create_stream() = 0;
  // Who waits for one that lets sleep gives the core away, and hears of it some ten microseconds later.
  virtual Result<std::unique_ptr<DeviceEvent>> create_event(bool lets_sleep = false) = 0;
  // Where the memory is: true for the device's own.
  virtual bool owns(const void* data) const = 0;
  // Memory of the host that copies need not wait for.
  virtual bool pinned(const void* data) const = 0;
  virtual int64_t free_bytes() const = 0;
  virtual Telemetry telemetry() const = 0;
  virtual DeviceCounts counts() const = 0;  // of the calling thread
  // Changes layout, element type and strides (plain ones) of a tensor in the device's memory.
  virtual Status reformat(DeviceStream& stream, const TensorRef& from, const Format& from_format, const TensorRef& to,
                          const Format& to_format) = 0;
};

// "cuda:0": opens the backend's library where it lies beside this program or library, and the device in it. Devices are
// opened once, and stay. kUnsupported with one sentence where the build, the machine or the driver lacks it.
Result<std::shared_ptr<Device>> open_device(std::string_view name);
// "cuda" and a number, or nothing where the text is no device's name; "cpu" is none.
struct DeviceName {
  std::string backend;
  int index = 0;
};
std::optional<DeviceName> parse_device_name(std::string_view name);

// What a backend's library returns from its one exported function, const BackendEntry* fovea_backend_entry().
struct BackendEntry {
  const char* build = nullptr;  // that of the program has to be the same
  Result<std::shared_ptr<Device>> (*open)(int index) = nullptr;
};
inline constexpr const char* kBackendEntry = "fovea_backend_entry";

}  // namespace fovea::core
