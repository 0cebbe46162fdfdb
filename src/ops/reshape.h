#pragma once

namespace fovea::core {

struct ReshapeAttrs {
  bool allowzero = false;
  static void fields(auto& self, auto&& field) { field("allowzero", self.allowzero); }
};

}  // namespace fovea::core
