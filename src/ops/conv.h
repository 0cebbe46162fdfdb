#pragma once

#include "ops/window.h"

namespace fovea::core {

struct ConvAttrs : WindowAttrs {
  int64_t group = 1;
  static void fields(auto& self, auto&& field) {
    window_fields(self, field);
    field("group", self.group);
  }
};

// x: [n, c, spatial...], w: [output channels, c / group, kernel...]. Fails where they do not belong together.
Result<Windows> conv_windows(const ConvAttrs& attrs, std::span<const int64_t> x, std::span<const int64_t> w);

}  // namespace fovea::core
