// Attributes of the normalisations.
#pragma once

#include <cstdint>

namespace fovea::core {

// BatchNormalization, InstanceNormalization
struct EpsilonAttrs {
  double epsilon = 1e-5f;
  static void fields(auto& self, auto&& field) { field("epsilon", self.epsilon); }
};

struct LayerNormAttrs {
  int64_t axis = -1;  // the first of the axes that are normalised together; not negative after import
  double epsilon = 1e-5f;
  static void fields(auto& self, auto&& field) {
    field("axis", self.axis);
    field("epsilon", self.epsilon);
  }
};

struct GroupNormAttrs {
  int64_t num_groups = 1;
  double epsilon = 1e-5f;
  static void fields(auto& self, auto&& field) {
    field("num_groups", self.num_groups);
    field("epsilon", self.epsilon);
  }
};

struct LpNormalizationAttrs {
  int64_t axis = -1;  // not negative after import
  int64_t p = 2;      // 1 or 2
  static void fields(auto& self, auto&& field) {
    field("axis", self.axis);
    field("p", self.p);
  }
};

struct LrnAttrs {
  int64_t size = 1;  // channels in a window
  double alpha = 1e-4f, beta = 0.75, bias = 1;
  static void fields(auto& self, auto&& field) {
    field("size", self.size);
    field("alpha", self.alpha);
    field("beta", self.beta);
    field("bias", self.bias);
  }
};

}  // namespace fovea::core
