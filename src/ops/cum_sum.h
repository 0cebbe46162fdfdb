#pragma once

#include <cstdint>

namespace fovea::core {

struct CumSumAttrs {
  int64_t axis = 0;
  bool exclusive = false;  // without the element itself
  bool reverse = false;    // from the end
  static void fields(auto& self, auto&& field) {
    field("axis", self.axis);
    field("exclusive", self.exclusive);
    field("reverse", self.reverse);
  }
};

}  // namespace fovea::core
