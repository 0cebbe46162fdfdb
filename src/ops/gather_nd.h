#pragma once

#include <cstdint>

namespace fovea::core {

struct GatherNDAttrs {
  int64_t batch_dims = 0;
  static void fields(auto& self, auto&& field) { field("batch_dims", self.batch_dims); }
};

}  // namespace fovea::core
