// Attributes of Squeeze and Unsqueeze: non-negative, ascending. Of the input's dimensions, or of the output's.
#pragma once

#include <cstdint>
#include <vector>

namespace fovea::core {

struct AxesAttrs {
  std::vector<int64_t> axes;
  static void fields(auto& self, auto&& field) { field("axes", self.axes); }
};

}  // namespace fovea::core
