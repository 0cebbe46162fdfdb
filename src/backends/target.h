// What a build on a device is, as recipes and timings name it.
#pragma once

#include <string>

namespace fovea::core {

struct Target {
  std::string build;      // "0.1.0 (git hash)"
  std::string libraries;  // "oneDNN 2.6.3"
  std::string device;     // the processor's brand string
  std::string features;   // "avx2,avx512"
  friend bool operator==(const Target&, const Target&) = default;
};

}  // namespace fovea::core
