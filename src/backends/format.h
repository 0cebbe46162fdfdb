// How a tensor is kept: layout, element type, and whose memory it is in.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/dtype.h"

namespace fovea::core {

// How the elements of a tensor lie in memory. All but the plain form are of rank 4. Blocked: channels in blocks of 8 or
// 16, the last block padded with zeros. kNhwc8: as NHWC, the channels of a pixel padded with zeros to a multiple of 8.
enum class Layout : uint8_t { kPlain, kNhwc, kC8, kC16, kNhwc8 };
inline constexpr int kLayouts = 5;
std::string_view to_string(Layout layout);
std::optional<Layout> layout_from_string(std::string_view name);
// Elements of storage that a shape takes in a layout.
int64_t storage_elements(Layout layout, std::span<const int64_t> shape);

enum class Place : uint8_t { kHost, kDevice };

// How a tensor is kept: layout, element type, and whose memory it is in.
struct Format {
  Layout layout = Layout::kPlain;
  Place place = Place::kHost;
  DType storage = DType::kUndefined;  // kUndefined: the value's own type

  constexpr Format() = default;
  constexpr Format(Layout l, Place p = Place::kHost, DType s = DType::kUndefined) : layout(l), place(p), storage(s) {}
  DType dtype(DType own) const { return storage == DType::kUndefined ? own : storage; }
  friend constexpr auto operator<=>(const Format&, const Format&) = default;
};
std::string to_string(const Format& format);  // "c16", "device:nhwc8:float16"
// As recipes have it.
uint16_t format_code(const Format& format);
std::optional<Format> format_from_code(uint16_t code);

}  // namespace fovea::core
