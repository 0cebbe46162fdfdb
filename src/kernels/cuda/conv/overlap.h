// The pixels of a matrix product in two parts, one behind the other, so that what the second writes may lie where the
// first has read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"

namespace fovea::core::cuda {

struct Overlap {
  int64_t pixels = 0;
  int64_t first = 0;                     // of the first part; 0: two parts would not be worth it
  int64_t from_bytes = 0, to_bytes = 0;  // of a pixel

  // A launch more is worth it where what is read and written takes many times as long.
  static constexpr int64_t kWorthIt = int64_t{64} << 20;
  // The parts that let the result reach as far into the input as it can.
  static Overlap of(int64_t pixels, int64_t from_bytes, int64_t to_bytes, int64_t least_bytes = kWorthIt);
  // PreparedKernel::overlap_lead(): what either part writes ends where it begins to read.
  int64_t lead() const;
  // Has the result been placed so?
  bool used(const std::byte* from, const std::byte* to) const {
    return first && from < to + pixels * to_bytes && to < from + pixels * from_bytes;
  }
  // part(first pixel, number of pixels) for all of them, or for one part behind the other where that is needed.
  template <typename F>
  Status each_part(const std::byte* from, const std::byte* to, const F& part) const {
    if (!used(from, to)) return part(int64_t{0}, pixels);
    FOVEA_TRY(part(int64_t{0}, first));
    return part(first, pixels - first);
  }
};

}  // namespace fovea::core::cuda
