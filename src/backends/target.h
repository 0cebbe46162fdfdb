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

// The most that a device's data sheet would promise; 0: unknown.
struct Limits {
  double bytes_per_second = 0;                            // of its own memory
  double flops_fp32 = 0, flops_tf32 = 0, flops_fp16 = 0;  // a second: products and sums counted apart
  friend bool operator==(const Limits&, const Limits&) = default;
};

}  // namespace fovea::core
