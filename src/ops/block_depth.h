// Attributes of DepthToSpace and SpaceToDepth.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace fovea::core {

// Whether the place in a block is the slower or the faster part of the deep channel number.
enum class DepthOrder : uint8_t { kDcr, kCrd };
inline constexpr std::array<std::string_view, 2> kDepthOrders{"DCR", "CRD"};
inline std::span<const std::string_view> enum_names(DepthOrder) { return kDepthOrders; }

struct BlockDepthAttrs {
  int64_t blocksize = 0;
  DepthOrder mode = DepthOrder::kDcr;
  static void fields(auto& self, auto&& field) {
    field("blocksize", self.blocksize);
    field("mode", self.mode);
  }
};

}  // namespace fovea::core
