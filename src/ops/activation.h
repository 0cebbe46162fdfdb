// Attributes of the activations that have some.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace fovea::core {

struct LeakyReluAttrs {
  double alpha = 0.01f;
  static void fields(auto& self, auto&& field) { field("alpha", self.alpha); }
};

// Elu, Celu, ThresholdedRelu, Swish
struct AlphaAttrs {
  double alpha = 1;
  static void fields(auto& self, auto&& field) { field("alpha", self.alpha); }
};

struct SeluAttrs {
  double alpha = 1.67326319217681884765625, gamma = 1.05070102214813232421875;
  static void fields(auto& self, auto&& field) {
    field("alpha", self.alpha);
    field("gamma", self.gamma);
  }
};

struct HardSigmoidAttrs {
  double alpha = 0.2f, beta = 0.5;
  static void fields(auto& self, auto&& field) {
    field("alpha", self.alpha);
    field("beta", self.beta);
  }
};

enum class GeluApproximation : unsigned char { kNone, kTanh };
inline std::span<const std::string_view> enum_names(GeluApproximation) {
  static constexpr std::array<std::string_view, 2> kNames = {"none", "tanh"};
  return kNames;
}
struct GeluAttrs {
  GeluApproximation approximate = GeluApproximation::kNone;
  static void fields(auto& self, auto&& field) { field("approximate", self.approximate); }
};

}  // namespace fovea::core
