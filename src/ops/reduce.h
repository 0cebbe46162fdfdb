#pragma once

#include <cstdint>
#include <vector>

namespace fovea::core {

// Every reduction: ReduceSum, ReduceMean, ReduceMax, ...
struct ReduceAttrs {
  std::vector<int64_t> axes;  // not negative, ascending; none: each element is reduced by itself
  bool keepdims = true;
  static void fields(auto& self, auto&& field) {
    field("axes", self.axes);
    field("keepdims", self.keepdims);
  }
};

}  // namespace fovea::core
