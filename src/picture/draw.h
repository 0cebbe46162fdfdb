// Detections drawn onto a picture, for people to look at.
#pragma once

#include <array>
#include <span>

#include "picture/boxes.h"
#include "picture/card.h"
#include "picture/image.h"

namespace fovea::core {

using Rgb = std::array<uint8_t, 3>;

// A colour for each class index: strong, and far from those of its neighbours.
Rgb class_color(int64_t label);

// Draws boxes, each with a tag of class name and score in percent, the best on top. Lines and letters grow with the
// picture. Boxes with NaN are left out. Fonts are the system's; without any, tags hold no text.
Status draw_detections(Image& image, std::span<const Detection> detections, const ClassesCard& classes);

}  // namespace fovea::core
