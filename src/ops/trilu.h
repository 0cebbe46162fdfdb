#pragma once

namespace fovea {

struct TriluAttrs {
  bool upper = true;
  static void fields(auto& self, auto&& field) { field("upper", self.upper); }
};

}  // namespace fovea
