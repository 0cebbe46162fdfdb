#pragma once

#include <cstdint>

namespace fovea::core {

struct ReverseSequenceAttrs {
  int64_t batch_axis = 1, time_axis = 0;  // 0 and 1, in whichever order
  static void fields(auto& self, auto&& field) {
    field("batch_axis", self.batch_axis);
    field("time_axis", self.time_axis);
  }
};

}  // namespace fovea::core
