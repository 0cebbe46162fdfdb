// Attributes of ScatterND and ScatterElements.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace fovea::core {

enum class ScatterReduction : uint8_t { kNone, kAdd, kMul, kMax, kMin };
inline constexpr std::array<std::string_view, 5> kScatterReductions{"none", "add", "mul", "max", "min"};
inline std::span<const std::string_view> enum_names(ScatterReduction) { return kScatterReductions; }

struct ScatterNDAttrs {
  ScatterReduction reduction = ScatterReduction::kNone;
  static void fields(auto& self, auto&& field) { field("reduction", self.reduction); }
};

struct ScatterElementsAttrs {
  int64_t axis = 0;
  ScatterReduction reduction = ScatterReduction::kNone;
  static void fields(auto& self, auto&& field) {
    field("axis", self.axis);
    field("reduction", self.reduction);
  }
};

}  // namespace fovea::core
