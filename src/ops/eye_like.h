#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace fovea::core {

struct EyeLikeAttrs {
  DType dtype = DType::kFloat32;
  int64_t k = 0;  // which diagonal; positive ones are above the main one
  static void fields(auto& self, auto&& field) {
    field("dtype", self.dtype);
    field("k", self.k);
  }
};

}  // namespace fovea::core
