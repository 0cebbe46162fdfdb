// Flatten: two dimensions, those before the axis and those from it on; a Reshape.
#include "ops/layout.h"
#include "ops/reshape.h"

namespace fovea::core {
namespace {

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"axis"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  const auto rank = static_cast<int64_t>(c.input(0)->shape.size());
  int64_t axis = c.int_attr("axis", 1);
  if (axis < -rank || axis > rank)
    return c.error(fmt::format("expected an axis in [{}, {}], found {}", -rank, rank, axis));
  if (axis < 0) axis += rank;
  FOVEA_TRY_SET(Value * target, flattened_shape(c, c.input(0), static_cast<size_t>(axis)));
  return emit_one(c, op_Reshape, make_attrs(ReshapeAttrs{.allowzero = true}), {c.input(0), target});
}

}  // namespace

const OpDef op_Flatten = {.info = {.name = "Flatten"}, .onnx = {"Flatten"}, .import = import};

}  // namespace fovea::core
