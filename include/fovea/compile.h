// compile(): ONNX file, as exported, to engine file. In libfovea; running engines needs libfovea_runtime only.
#pragma once

#include <fovea/engine.h>

#include <map>

namespace fovea {

struct CompileOptions {
  std::string card;                                    // path of a model card, docs/model-card.md
  std::vector<std::map<std::string, int64_t>> shapes;  // profiles: sizes to choose kernels for; empty: batch 1
  Device device;                                       // to choose kernels for
  std::string precision = "fp32";                      // or "tf32", "fp16": what features may be stored and multiplied as
  int threads = 0;                                     // of a run; 0: all cores
  std::string timing_cache;                            // read and written
  int64_t memory_limit = 0;  // bytes of a run at any of `shapes`: arena, workspaces, packed weights; 0: no limit
  bool timing = true;        // false: choose kernels by estimates
  bool verify = false;       // check every pass against the imported graph
  std::function<void(LogLevel, const std::string&)> log;
  std::function<void(const std::string& stage, int done, int total)> progress;
};

// Writes the engine to `engine_path`, whole or not at all. Throws InvalidArgument for options, files or a card that are
// wrong, InvalidModel, Unsupported (the message names the operator), System where the disk or memory fails.
FOVEA_API void compile(const std::string& model_path, const std::string& engine_path,
                       const CompileOptions& options = {});

}  // namespace fovea
