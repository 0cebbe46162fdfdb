#pragma once

#include <cstdint>

namespace fovea::core {

// The sizes of dimensions [start, end), clamped to the rank; negative ones count from the back.
struct ShapeAttrs {
  int64_t start = 0, end = INT64_MAX;
  static void fields(auto& self, auto&& field) {
    field("start", self.start);
    field("end", self.end);
  }
  // The range for an input of that rank.
  void resolve(int64_t rank, int64_t& first, int64_t& last) const {
    auto clamp = [&](int64_t v) { return v < -rank ? 0 : v < 0 ? v + rank : v > rank ? rank : v; };
    first = clamp(start), last = clamp(end);
    if (last < first) last = first;
  }
};

}  // namespace fovea::core
