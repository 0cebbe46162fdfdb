#include "backends/format.h"

#include <fmt/format.h>

#include <array>

namespace fovea::core {
namespace {

constexpr std::array<std::string_view, kLayouts> kLayoutNames = {"plain", "nhwc", "c8", "c16", "nhwc8"};

}  // namespace

std::string_view to_string(Layout layout) { return kLayoutNames[static_cast<size_t>(layout)]; }

std::optional<Layout> layout_from_string(std::string_view name) {
  for (size_t i = 0; i < kLayoutNames.size(); ++i)
    if (kLayoutNames[i] == name) return static_cast<Layout>(i);
  return std::nullopt;
}

int64_t storage_elements(Layout layout, std::span<const int64_t> shape) {
  const int64_t block = layout == Layout::kC8 || layout == Layout::kNhwc8 ? 8 : layout == Layout::kC16 ? 16 : 1;
  int64_t n = 1;
  for (size_t i = 0; i < shape.size(); ++i) n *= i == 1 ? (shape[i] + block - 1) / block * block : shape[i];
  return n;
}

std::string to_string(const Format& f) {
  std::string text = f.place == Place::kDevice ? "device:" : "";
  text += to_string(f.layout);
  if (f.storage != DType::kUndefined) text += fmt::format(":{}", to_string(f.storage));
  return text;
}

uint16_t format_code(const Format& f) {
  return static_cast<uint16_t>(static_cast<unsigned>(f.layout) | static_cast<unsigned>(f.place) << 4 |
                               static_cast<unsigned>(f.storage) << 8);
}

std::optional<Format> format_from_code(uint16_t code) {
  const unsigned layout = code & 15u, place = code >> 4 & 15u, storage = code >> 8;
  if (layout >= kLayouts || place > static_cast<unsigned>(Place::kDevice) || storage >= kMaxDType + 1u) return std::nullopt;
  return Format(static_cast<Layout>(layout), static_cast<Place>(place), static_cast<DType>(storage));
}

}  // namespace fovea::core
