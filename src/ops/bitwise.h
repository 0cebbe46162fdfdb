#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace fovea::core {

enum class ShiftDirection : uint8_t { kLeft, kRight };
inline std::span<const std::string_view> enum_names(ShiftDirection) {
  static constexpr std::array<std::string_view, 2> kNames = {"LEFT", "RIGHT"};
  return kNames;
}

struct BitShiftAttrs {
  ShiftDirection direction = ShiftDirection::kLeft;
  static void fields(auto& self, auto&& field) { field("direction", self.direction); }
};

}  // namespace fovea::core
