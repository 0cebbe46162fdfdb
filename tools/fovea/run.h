// fovea run: what it was asked for, and its larger half, which takes pictures.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/loaded_engine.h"

namespace fovea::core::tool {

struct RunOptions {
  std::string engine, output, json, draw, labels;
  std::vector<std::string> inputs, pictures;
  int threads = 0;
  int64_t batch = 1;
  double min_score = 0.3;
  bool check = false, verbose = false;
};

Result<std::shared_ptr<LoadedEngine>> open_engine(const RunOptions& o);
Status run_pictures(const RunOptions& o);

}  // namespace fovea::core::tool
