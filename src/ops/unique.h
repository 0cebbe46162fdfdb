#pragma once

#include <cstdint>

namespace fovea::core {

struct UniqueAttrs {
  int64_t axis = 0;
  bool sorted = true;  // false: in order of first appearance
  static void fields(auto& self, auto&& field) {
    field("axis", self.axis);
    field("sorted", self.sorted);
  }
};

}  // namespace fovea::core
