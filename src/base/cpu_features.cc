#include "base/cpu_features.h"

#include <cpuid.h>

#include <cstring>

namespace fovea::core {

uint32_t cpu_features() {
  uint32_t features = 0;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) features |= kCpuAvx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    features |= kCpuAvx512;
  return features;
}

std::string cpu_features_string(uint32_t features) {
  std::string s;
  if (features & kCpuAvx2) s += "avx2";
  if (features & kCpuAvx512) s += s.empty() ? "avx512" : ",avx512";
  return s.empty() ? "baseline" : s;
}

std::string cpu_name() {
  char brand[49] = {};
  for (unsigned i = 0; i < 3; ++i) {
    unsigned regs[4] = {};
    if (!__get_cpuid(0x80000002u + i, &regs[0], &regs[1], &regs[2], &regs[3])) return "unknown";
    std::memcpy(brand + 16 * i, regs, 16);
  }
  std::string name(brand);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  return name;
}

}  // namespace fovea::core
