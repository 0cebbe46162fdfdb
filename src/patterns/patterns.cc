#include "patterns/patterns.h"

namespace fovea::core {
namespace {

constexpr Pass kPatterns[] = {
#define FOVEA_PATTERN(function, name, reason) {#name, function, reason},
#include "patterns/patterns.inc"
#undef FOVEA_PATTERN
};

}  // namespace

std::span<const Pass> patterns() { return kPatterns; }

}  // namespace fovea::core
