#pragma once

namespace fovea::core {

struct GemmAttrs {
  double alpha = 1, beta = 1;
  bool transA = false, transB = false;
  static void fields(auto& self, auto&& field) {
    field("alpha", self.alpha);
    field("beta", self.beta);
    field("transA", self.transA);
    field("transB", self.transB);
  }
};

}  // namespace fovea::core
