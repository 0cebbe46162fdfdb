#include "kernels/cuda/conv/plan_cache.h"

#include <fmt/format.h>

#include "backends/cuda/cuda.h"

namespace fovea::core::cuda {
namespace {

constexpr const char* kKind = "cudnn";

// Lengths in front, so that no two pairs of texts give the same one.
std::string with_variant(const std::string& key, std::string_view variant) {
  return fmt::format("{} {}|{}", variant.size(), variant, key);
}

}  // namespace

std::string plan_key(const Target& target, std::string_view description) {
  return fmt::format("plan 1|{}|{}|{}|{}", target.libraries, target.device, target.features, description);
}

std::optional<StoredPlan> read_plan(const std::string& key, std::string_view variant) {
  const std::optional<std::string> text = cache_read(kKind, with_variant(key, variant));
  const size_t end = text ? text->find('\n') : std::string::npos;
  if (end == std::string::npos) return std::nullopt;
  return StoredPlan{text->substr(0, end), text->substr(end + 1)};
}

void write_plan(const std::string& key, std::string_view variant, const StoredPlan& plan) {
  if (plan.name.find('\n') != std::string::npos) return;
  cache_write(kKind, with_variant(key, variant), plan.name + '\n' + plan.bytes);
}

}  // namespace fovea::core::cuda
