#pragma once

namespace fovea::core {

struct ShrinkAttrs {
  double lambd = 0.5, bias = 0;
  static void fields(auto& self, auto&& field) {
    field("lambd", self.lambd);
    field("bias", self.bias);
  }
};

}  // namespace fovea::core
