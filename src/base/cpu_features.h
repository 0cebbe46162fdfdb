// What this processor can do, as a small set that kernel rows, recipes and inspect name.
#pragma once

#include <cstdint>
#include <string>

namespace fovea::core {

enum CpuFeature : uint32_t {
  kCpuAvx2 = 1u << 0,    // AVX2 and FMA
  kCpuAvx512 = 1u << 1,  // F, BW, DQ, VL
};

uint32_t cpu_features();
std::string cpu_features_string(uint32_t features);  // "avx2,avx512"
std::string cpu_name();                              // the brand string, for reports and recipes

}  // namespace fovea::core
