// From a network's boxes back to pixels of the picture as it was read.
#pragma once

#include <array>
#include <cstdint>

#include "base/resize_rule.h"
#include "picture/card.h"

namespace fovea::core {

// An object found. Corners in pixels of the original picture, whose top left corner is (0, 0) and whose bottom right
// one is (width, height); label is an index into the card's class names.
struct Detection {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  float score = 0;
  int64_t label = 0;

  bool operator==(const Detection&) const = default;
};

// One box of the outputs, in the card's convention, as x0, y0, x1, y1 of the original picture. Boxes relative to the input
// lose the padding and the resize; those relative to the original are only scaled up if normalised. Clipped to the
// picture if the card says so. Computed in float64, rounded once. NaN stays NaN.
std::array<float, 4> box_to_picture(std::array<float, 4> box, const OutputsCard& outputs,
                                    const ResizeGeometry& geometry);

}  // namespace fovea::core
