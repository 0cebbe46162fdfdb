// Measured times of kernels and reformats, kept between compilations: the same cache gives the same engine, byte for
// byte.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "kernels/kernel.h"

namespace fovea::core {

class TimingCache {
 public:
  // A missing file gives an empty cache. Lines of another machine or library are kept but not used.
  Status load(const std::string& path);
  Status save(const std::string& path) const;
  // Milliseconds, or why the kernel refused when it was first asked: the report must not depend on who asked first.
  struct Entry {
    double ms = -1;
    std::string refusal;
    std::string variant;                         // which of a library's ways was the fastest
    std::vector<KernelVariant> over_limit = {};  // those that were not asked: PrepareContext::workspace_limit
  };
  // Keys with the machine's in front.
  const Entry* find(const std::string& key) const;
  void put(const std::string& key, Entry entry);
  size_t size() const { return entries_.size(); }

 private:
  std::map<std::string, Entry> entries_;  // full key, this machine's prefix included
};

// What a timing depends on besides the kernel: processor or device, libraries.
std::string machine_key(const Device* device = nullptr);
// One kernel on one set of shapes and formats: operator, attributes, types, constants' shapes, threads.
std::string timing_key(const KernelRow& row, const PrepareContext& context);

class Timer {
 public:
  Timer(TimingCache& cache, int threads, bool enabled) : cache_(cache), threads_(threads), enabled_(enabled) {}
  // Median milliseconds of the kernel on random inputs, from the cache or measured; kUnsupported where it refuses.
  // Its entry's refusal is empty.
  Result<TimingCache::Entry> kernel(const KernelRow& row, const PrepareContext& context);
  // Would kernel() prepare this one?
  bool prepares(const KernelRow& row, const PrepareContext& context) const {
    return !cache_.find(timing_key(row, context));
  }
  // Between places the time is estimated.
  double reformat(DType own, const std::vector<int64_t>& shape, const Format& from, const Format& to, Device* device);
  bool enabled() const { return enabled_; }
  int measured() const { return measured_; }

 private:
  Result<double> on_host(const PreparedKernel& kernel, const PrepareContext& context);
  Result<DeviceStream*> stream_on(Device& device);
  Result<double> on_device(const PreparedKernel& kernel, const PrepareContext& context);
  Result<double> measure_reformat(DType own, const std::vector<int64_t>& shape, const Format& from, const Format& to,
                                  Device* device);
  TimingCache& cache_;
  int threads_;
  bool enabled_;
  int measured_ = 0;
  std::map<Device*, std::unique_ptr<DeviceStream>> streams_;  // with libraries' handles, which are slow to make
};

// Packed weights of one compilation or engine, with a limit on nothing: they live as long as the engine.
class PackedWeightsMap final : public PackedWeights {
 public:
  // `release` is called now and then while weights are packed: the masters that were read can leave memory again.
  explicit PackedWeightsMap(std::function<void()> release = nullptr) : release_(std::move(release)) {}
  std::shared_ptr<void> find(const std::string& key) override;
  std::shared_ptr<void> put(const std::string& key, std::shared_ptr<void> packed, int64_t bytes) override;
  int64_t bytes() const;

 private:
  std::function<void()> release_;
  int64_t since_release_ = 0;
  mutable std::mutex mutex_;
  // Weakly held: what no specialisation uses any more is freed.
  std::map<std::string, std::pair<std::weak_ptr<void>, int64_t>> packed_;
};

}  // namespace fovea::core
