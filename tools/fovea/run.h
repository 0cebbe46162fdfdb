// fovea run: what it was asked for, and its larger half, which takes pictures.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace fovea::core::tool {

struct RunOptions {
  std::string engine, device, output, json, draw, labels;
  std::vector<std::string> inputs, pictures;
  int threads = 0, contexts = 0;  // contexts 0: not given
  int64_t batch = 1;
  double min_score = 0.3;
  bool check = false, verbose = false;
};

Status run_pictures(const RunOptions& o);

}  // namespace fovea::core::tool
