// Pictures of many files to their detections: decoded ahead, several batches in flight, drawn behind.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "picture/detector.h"
#include "verbs.h"

namespace fovea::core::tool {

struct DetectJob {
  std::span<const std::string> paths;
  // Each in a thread of its own takes batches of the pictures while there are any: an engine has as many batches in
  // flight as it has detectors here.
  std::span<const std::unique_ptr<Detector>> detectors;
  size_t batch = 1;
  int threads = 1;   // that decode and draw
  size_t ahead = 1;  // pictures decoded and not asked for yet
  bool draws = false;
  // What becomes of picture `i`: called once for each, in any thread.
  std::function<void(size_t i, std::vector<Detection> found, double ms)> found;
  std::function<Status(size_t i, Image image)> draw;  // after found(i), if `draws`
};

// Returns which part of their time detectors waited for pictures to be decoded: 0 to 1. The failure is that of the
// earliest batch.
Result<double> detect_pictures(const DetectJob& job);

}  // namespace fovea::core::tool
