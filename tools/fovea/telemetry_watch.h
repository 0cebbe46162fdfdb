// Clocks, power and temperature of devices while something is measured: after it they idle.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "verbs.h"

namespace fovea::core::tool {

// Of one device: means over the samples, the hottest and the slowest of them.
struct Watched {
  std::string device;
  Telemetry mean;  // what could not be read is negative
  double slowest_mhz = -1, hottest_celsius = -1;
};

class TelemetryWatch {
 public:
  explicit TelemetryWatch(const Engines& engines);  // begins
  ~TelemetryWatch() { (void)stop(); }
  std::vector<Watched> stop();  // one for each device that is no processor

 private:
  void sample();
  std::vector<std::shared_ptr<LoadedEngine>> engines_;  // on a device
  std::vector<std::vector<Telemetry>> samples_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace fovea::core::tool
