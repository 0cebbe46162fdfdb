#pragma once

#include <cstdint>

namespace fovea::core {

// ArgMax and ArgMin
struct ArgMaxAttrs {
  int64_t axis = 0;  // not negative
  bool keepdims = true;
  bool select_last_index = false;  // of equal elements
  static void fields(auto& self, auto&& field) {
    field("axis", self.axis);
    field("keepdims", self.keepdims);
    field("select_last_index", self.select_last_index);
  }
};

}  // namespace fovea::core
