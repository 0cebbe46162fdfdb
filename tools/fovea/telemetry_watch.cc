#include "telemetry_watch.h"

#include <algorithm>
#include <chrono>

namespace fovea::core::tool {
namespace {

constexpr auto kBetween = std::chrono::milliseconds(100);  // what the driver answers changes about as often

double mean_of(const std::vector<Telemetry>& samples, double Telemetry::*what) {
  double sum = 0;
  int count = 0;
  for (const Telemetry& t : samples)
    if (t.*what >= 0) sum += t.*what, ++count;
  return count > 0 ? sum / count : -1;
}

}  // namespace

TelemetryWatch::TelemetryWatch(const Engines& engines) {
  for (const auto& e : engines)
    if (e->device()) engines_.push_back(e);
  samples_.resize(engines_.size());
  if (!engines_.empty()) thread_ = std::thread([this] { sample(); });
}

void TelemetryWatch::sample() {
  std::unique_lock lock(mutex_);
  do {
    for (size_t i = 0; i < engines_.size(); ++i) samples_[i].push_back(engines_[i]->device()->telemetry());
  } while (!changed_.wait_for(lock, kBetween, [this] { return over_; }));
}

std::vector<Watched> TelemetryWatch::stop() {
  if (!thread_.joinable()) return {};
  {
    std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
  std::vector<Watched> out;
  for (size_t i = 0; i < engines_.size(); ++i) {
    Watched w{engines_[i]->device()->name(), {}};
    const std::vector<Telemetry>& all = samples_[i];
    for (auto what : {&Telemetry::clock_mhz, &Telemetry::memory_clock_mhz, &Telemetry::power_watts,
                      &Telemetry::temperature_celsius})
      w.mean.*what = mean_of(all, what);
    w.slowest_mhz = std::ranges::min_element(all, {}, &Telemetry::clock_mhz)->clock_mhz;
    w.hottest_celsius = std::ranges::max_element(all, {}, &Telemetry::temperature_celsius)->temperature_celsius;
    out.push_back(std::move(w));
  }
  return out;
}

}  // namespace fovea::core::tool
