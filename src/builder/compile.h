// compile(): the upper half of fovea in order. ONNX file (and model card) -> engine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/log.h"
#include "engine/engine.h"
#include "passes/pass.h"
#include "precision/policy.h"

namespace fovea::core {

struct CompileOptions {
  std::string model;                   // path of the .onnx
  std::string card;                    // path of the model card; empty: none
  std::vector<SymbolValues> profiles;  // sizes to time for; empty: batch 1
  std::shared_ptr<Device> device;      // to compile for; null: the processor
  Precision precision = Precision::kFloat32;
  int threads = 0;                     // 0: as many as the process may use
  std::string timing_cache;            // read and written; empty: none
  int64_t memory_limit = 0;            // bytes of a run in any profile, MemoryNeeds and packed weights; 0: none
  bool timing = true;                  // false: kernels chosen by estimates
  bool verify = false;                 // --verify: every pass against the imported graph, by the reference kernels
  std::string repro;                   // file for what --verify finds; empty: none
  std::vector<std::string> disabled_passes;
  std::vector<std::string> print_ir_after;  // names of passes, or "import", or "all"
  std::function<void(std::string_view pass, const std::string& text)> print_ir;
  LogSink log;
  std::function<void(std::string_view stage, int done, int total)> progress;
};

struct CompileStage {
  std::string name;
  double ms = 0;
};

struct CompileResult {
  EngineData engine;
  std::vector<CompileStage> stages;
  std::vector<PassReport> passes;
  int kernels_timed = 0;
};

Result<CompileResult> compile(const CompileOptions& options);

}  // namespace fovea::core
