// What values may be stored as, by their precision class.
#pragma once

#include <optional>
#include <string_view>

#include "ir/graph.h"

namespace fovea::core {

enum class Precision : uint8_t {
  kFloat32,  // as the model has it
  kTf32,     // float32, but factors may be rounded to TF32 where a device multiplies them
  kFloat16,  // features in float16; coordinates, scores and statistics stay float32
};
std::optional<Precision> precision_from_string(std::string_view name);  // "fp32", "tf32", "fp16"

// Permits it on every float32 value of the class feature, regions included. Which of what is permitted a value gets is
// tactics' choice; values that already have a storage keep it.
void permit(Graph& graph, Precision precision);

}  // namespace fovea::core
