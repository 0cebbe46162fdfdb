#pragma once

#include <cstdint>

namespace fovea::core {

struct TopKAttrs {
  int64_t axis = -1;
  bool largest = true;
  bool sorted = true;  // false: any order will do
  static void fields(auto& self, auto&& field) {
    field("axis", self.axis);
    field("largest", self.largest);
    field("sorted", self.sorted);
  }
};

}  // namespace fovea::core
