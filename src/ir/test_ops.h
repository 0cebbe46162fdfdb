// A few operators for tests of the IR alone, which must not reach up to ops/.
#pragma once

#include "ir/infer.h"

namespace fovea::core::test {

enum class Mode : uint8_t { kPlain, kFancy };
inline std::span<const std::string_view> enum_names(Mode) {
  static constexpr std::string_view kNames[] = {"plain", "fancy"};
  return kNames;
}

struct EveryAttrs {
  int64_t number = 3;
  bool flag = false;
  double real = 0.5;
  std::string text = "t";
  DType type = DType::kFloat32;
  Mode mode = Mode::kPlain;
  std::vector<int64_t> ints = {1, 2};
  std::vector<double> reals;
  std::vector<std::string> texts;
  TensorPtr tensor;
  static void fields(auto& self, auto&& field) {
    field("number", self.number);
    field("flag", self.flag);
    field("real", self.real);
    field("text", self.text);
    field("type", self.type);
    field("mode", self.mode);
    field("ints", self.ints);
    field("reals", self.reals);
    field("texts", self.texts);
    field("tensor", self.tensor);
  }
};

inline Status same_as_input(InferContext& c) {
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, c.dtype(0), c.shape(0));
  return {};
}
inline Status infer_broadcasting(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == c.dtype(0), to_string(c.dtype(0))));
  const Shape shapes[] = {c.shape(0), c.shape(1)};
  auto shape = broadcast_shapes(shapes);
  if (!shape.ok()) return c.error(shape.status().message());
  c.set_output(0, c.dtype(0), *shape);
  return {};
}
inline Status infer_non_zero(InferContext& c) {
  c.set_output(0, DType::kInt64, {c.rank(0), c.data_dependent_size(0, 1, 0, product(c.shape(0)))});
  return {};
}
// If: the outputs are the first branch's.
inline Status infer_if(InferContext& c) {
  for (auto& region : c.node().regions) FOVEA_TRY(infer_graph(*region));
  const Graph& first = *c.node().regions[0];
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, first.outputs[i]->dtype, first.outputs[i]->shape);
  return {};
}

inline constexpr int kMany = 8;
inline const OpInfo kUnary{.name = "Unary", .max_outputs = kMany, .infer = same_as_input};
inline const OpInfo kBinary{.name = "Binary", .min_inputs = 2, .max_inputs = 2, .infer = infer_broadcasting};
inline const OpInfo kEvery{
    .name = "Every", .max_inputs = 3, .attrs = attrs_codec<EveryAttrs>(), .infer = same_as_input};
inline const OpInfo kNonZero{.name = "NonZero", .infer = infer_non_zero};
inline const OpInfo kIf{.name = "If", .max_outputs = kMany, .infer = infer_if, .regions = 2};

inline const OpInfo* find(std::string_view name) {
  for (const OpInfo* op : {&kUnary, &kBinary, &kEvery, &kNonZero, &kIf})
    if (op->name == name) return op;
  return nullptr;
}

}  // namespace fovea::core::test
