// How Slice clamps its bounds, in numbers.
#pragma once

#include <algorithm>
#include <cstdint>

namespace fovea::core {

// The first index of a range along a dimension of `size`; -1 if size is 0 and the step negative.
inline int64_t slice_start(int64_t start, int64_t step, int64_t size) {
  if (start < 0) start = start < -size ? 0 : start + size;
  return std::min(start, step > 0 ? size : size - 1);
}

// How many indices [start, end) by step takes; start as slice_start() gave it.
inline int64_t slice_length(int64_t first, int64_t end, int64_t step, int64_t size) {
  const int64_t lowest = step > 0 ? 0 : -1;
  if (end < 0) end = end < -size ? lowest : std::max(end + size, lowest);
  end = std::min(end, step > 0 ? size : size - 1);
  const int64_t distance = step > 0 ? end - first : first - end;
  if (distance <= 0) return 0;
  const auto magnitude = step > 0 ? static_cast<uint64_t>(step) : uint64_t{0} - static_cast<uint64_t>(step);
  return static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / magnitude + 1);
}

}  // namespace fovea::core
