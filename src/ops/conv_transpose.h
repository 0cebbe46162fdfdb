#pragma once

#include "ops/window.h"

namespace fovea::core {

// In its windows `in` and `out` are the operator's input and output: input i adds to outputs i * stride - pad_begin + k
// * dilation.
struct ConvTransposeAttrs : WindowAttrs {
  int64_t group = 1;
  std::vector<int64_t> output_padding;  // more outputs at the end of each axis
  std::vector<int64_t> output_shape;    // empty, or the output's spatial sizes, which then decide the padding
  static void fields(auto& self, auto&& field) {
    window_fields(self, field);
    field("group", self.group);
    field("output_padding", self.output_padding);
    field("output_shape", self.output_shape);
  }
};

// x: [n, c, spatial...], w: [c, output channels / group, kernel...]. Fails where they do not belong together.
Result<Windows> conv_transpose_windows(const ConvTransposeAttrs& attrs, std::span<const int64_t> x,
                                       std::span<const int64_t> w);

}  // namespace fovea::core
