#pragma once

namespace fovea::core {

struct ModAttrs {
  bool fmod = false;  // the result has a's sign; otherwise b's
  static void fields(auto& self, auto&& field) { field("fmod", self.fmod); }
};

}  // namespace fovea::core
