// An engine file opened for running: what the public Engine, the builder's timing and the command line share.
#pragma once

#include "engine/engine.h"
#include "runtime/executor.h"
#include "runtime/planned_graph.h"

namespace fovea::core {

struct LoadOptions {
  std::shared_ptr<Device> device;  // null: the processor alone
  int threads = 0;                 // 0: as many as the process may use
  std::string timing_cache;  // read for planning again, if given
  CacheLimits limits;
  LogSink log;
};

class LoadedEngine {
 public:
  static Result<std::shared_ptr<LoadedEngine>> open(const std::string& path, const LoadOptions& options);
  // Of data in memory; recipes count as made for this machine.
  static Result<std::shared_ptr<LoadedEngine>> from(EngineData data, const LoadOptions& options);

  const EngineData& data() const { return data_; }
  PlannedGraph& main() { return *main_; }
  PlannedGraph* preprocess() { return preprocess_.get(); }
  int threads() const { return threads_; }
  Device* device() const { return device_.get(); }
  const LogSink& log() const { return log_; }  // may be empty
  // Why the recipes in the file were not used, or empty.
  const std::string& replanned() const { return replanned_; }

 private:
  LoadedEngine() = default;
  EngineData data_;
  std::unique_ptr<PlannedGraph> main_, preprocess_;
  std::shared_ptr<Device> device_;
  int threads_ = 1;
  LogSink log_;
  std::string replanned_;
};

}  // namespace fovea::core
