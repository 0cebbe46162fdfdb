#pragma once

#include "ir/tensor.h"

namespace fovea::core {

struct ConstantOfShapeAttrs {
  TensorPtr value;  // one element; never null in a graph
  static void fields(auto& self, auto&& field) { field("value", self.value); }
};

}  // namespace fovea::core
