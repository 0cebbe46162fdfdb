#pragma once

namespace fovea {

struct IsInfAttrs {
  bool detect_negative = true, detect_positive = true;
  static void fields(auto& self, auto&& field) {
    field("detect_negative", self.detect_negative);
    field("detect_positive", self.detect_positive);
  }
};

}  // namespace fovea
