#include "precision/policy.h"

namespace fovea::core {

std::optional<Precision> precision_from_string(std::string_view name) {
  if (name == "fp32") return Precision::kFloat32;
  if (name == "tf32") return Precision::kTf32;
  if (name == "fp16") return Precision::kFloat16;
  return std::nullopt;
}

void permit(Graph& graph, Precision precision) {
  if (precision == Precision::kFloat32) return;
  for (const auto& v : graph.values()) {
    if (v->dtype != DType::kFloat32 || v->precision != PrecisionClass::kFeature || v->storage.type != DType::kUndefined)
      continue;
    if (precision == Precision::kFloat16) v->storage.type = DType::kFloat16;
    else v->storage.type = DType::kFloat32, v->storage.tf32 = true;
  }
  for (const auto& node : graph.nodes())
    for (const auto& region : node->regions) permit(*region, precision);
}

}  // namespace fovea::core
