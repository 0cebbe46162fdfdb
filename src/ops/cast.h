#pragma once

#include <array>
#include <span>
#include <string_view>

#include "base/dtype.h"

namespace fovea::core {

enum class RoundMode : uint8_t { kUp, kDown, kNearest };
inline constexpr std::array<std::string_view, 3> kRoundModes{"up", "down", "nearest"};
inline std::span<const std::string_view> enum_names(RoundMode) { return kRoundModes; }

struct CastAttrs {
  DType to = DType::kFloat32;
  bool saturate = true;                   // to 8-bit floats
  RoundMode round_mode = RoundMode::kUp;  // to float8e8m0
  static void fields(auto& self, auto&& field) {
    field("to", self.to);
    field("saturate", self.saturate);
    field("round_mode", self.round_mode);
  }
};

}  // namespace fovea::core
