// Attributes of operators that work along one dimension. The reader makes the axis non-negative.
#pragma once

#include <cstdint>

namespace fovea::core {

struct AxisAttrs {
  int64_t axis = 0;
  static void fields(auto& self, auto&& field) { field("axis", self.axis); }
};

}  // namespace fovea::core
