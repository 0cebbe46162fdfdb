#pragma once

namespace fovea::core {

struct TriluAttrs {
  bool upper = true;
  static void fields(auto& self, auto&& field) { field("upper", self.upper); }
};

}  // namespace fovea::core
