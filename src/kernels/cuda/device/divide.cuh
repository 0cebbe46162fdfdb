// Division of 31-bit indices by numbers that only the launch knows: a multiplication and a shift.
#pragma once

#include <cstdint>

namespace fovea::core::cuda {

struct Divisor {
  uint32_t divisor = 1, magic = 1, shift = 0;

  Divisor() = default;
  // d in [1, 2^31]
  explicit Divisor(int64_t d) : divisor(static_cast<uint32_t>(d)) {
    while ((uint64_t{1} << shift) < divisor) ++shift;
    magic = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift) - divisor)) / divisor + 1);
  }

#ifdef __CUDACC__
  // n < 2^31: the sum cannot overflow.
  __device__ __forceinline__ uint32_t quotient(uint32_t n) const { return (__umulhi(n, magic) + n) >> shift; }
  // n becomes the quotient; gives the remainder.
  __device__ __forceinline__ uint32_t split(uint32_t& n) const {
    const uint32_t q = quotient(n), r = n - q * divisor;
    n = q;
    return r;
  }
#endif
};

}  // namespace fovea::core::cuda
