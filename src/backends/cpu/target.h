// What this machine and build are, as recipes and timings name them.
#pragma once

#include <string>

namespace fovea::core {

struct CpuTarget {
  std::string build;      // "0.1.0 (git hash)"
  std::string libraries;  // "oneDNN 2.6.3"
  std::string device;     // the processor's brand string
  std::string features;   // "avx2,avx512"
  friend bool operator==(const CpuTarget&, const CpuTarget&) = default;
};

CpuTarget cpu_target();
std::string version_string();  // "0.1.0"
std::string git_hash();

}  // namespace fovea::core
