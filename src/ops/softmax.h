#pragma once

#include <cstdint>

namespace fovea::core {

// Softmax and LogSoftmax, along one axis
struct SoftmaxAttrs {
  int64_t axis = -1;  // not negative after import
  static void fields(auto& self, auto&& field) { field("axis", self.axis); }
};

}  // namespace fovea::core
