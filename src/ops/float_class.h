#pragma once

namespace fovea::core {

struct IsInfAttrs {
  bool detect_negative = true, detect_positive = true;
  static void fields(auto& self, auto&& field) {
    field("detect_negative", self.detect_negative);
    field("detect_positive", self.detect_positive);
  }
};

}  // namespace fovea::core
