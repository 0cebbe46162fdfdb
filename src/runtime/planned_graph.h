// A graph that can be run at any shape: recipes become plans, plans become specialisations, both kept under a lock.
#pragma once

#include <list>
#include <mutex>

#include "base/log.h"
#include "runtime/specialisation.h"

namespace fovea::core {

struct CacheLimits {
  int specialisations = 32;
  int64_t bytes = int64_t{1} << 30;  // of those kept: packed weights and shape tensors; arenas are the contexts'
};

class PlannedGraph {
 public:
  // `recipes` fit this machine, or are empty: then kernels are chosen by estimates and by `timings`.
  PlannedGraph(const Graph& graph, std::vector<Recipe> recipes, TimingCache timings, CacheLimits limits, LogSink log,
               std::function<void()> release_masters = nullptr, std::shared_ptr<Device> device = nullptr);

  const Graph& graph() const { return graph_; }
  // One shape an input. Made on first use, then kept; equal requests share the result. Thread-safe.
  Result<std::shared_ptr<const Specialisation>> specialise(std::span<const std::vector<int64_t>> shapes, int threads);
  Result<std::shared_ptr<const Specialisation>> specialise(const SymbolValues& symbols, int threads);
  int64_t packed_bytes() const { return weights_.bytes(); }

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Specialisation> value;
  };
  using PlanKey = std::pair<const Recipe*, Banned>;  // the recipe, and which of its kernels (or their heirs) refused
  std::shared_ptr<const Specialisation> find(const std::string& key);
  Result<std::shared_ptr<const Plan>> plan_for(const PlanKey& key, const SymbolValues& symbols, int threads);
  const Recipe* nearest(const SymbolValues& symbols) const;
  void remember(const std::string& key, std::shared_ptr<const Specialisation> value);

  const Graph& graph_;
  std::vector<Recipe> recipes_;
  TimingCache timings_;
  CacheLimits limits_;
  LogSink log_;
  std::function<void()> release_masters_;
  std::shared_ptr<Device> device_;
  std::mutex mutex_;          // of entries_; never held for long
  std::list<Entry> entries_;  // most recent first
  std::mutex making_;         // of what follows; taken before mutex_. What is ready can be had while another is made
  std::map<PlanKey, std::shared_ptr<const Plan>> plans_;
  PackedWeightsMap weights_;
};

}  // namespace fovea::core
