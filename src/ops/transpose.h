#pragma once

#include <cstdint>
#include <vector>

namespace fovea::core {

struct TransposeAttrs {
  std::vector<int64_t> perm;  // output dimension i is input dimension perm[i]; never empty but for rank 0
  static void fields(auto& self, auto&& field) { field("perm", self.perm); }
};

}  // namespace fovea::core
