#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fovea::core {

enum class PadMode : uint8_t { kConstant, kReflect, kEdge, kWrap };
inline constexpr std::array<std::string_view, 4> kPadModes{"constant", "reflect", "edge", "wrap"};
inline std::span<const std::string_view> enum_names(PadMode) { return kPadModes; }

struct PadAttrs {
  PadMode mode = PadMode::kConstant;
  std::vector<int64_t> axes;  // the pads input holds what goes before each of them, then what goes after
  static void fields(auto& self, auto&& field) {
    field("mode", self.mode);
    field("axes", self.axes);
  }
};

}  // namespace fovea::core
