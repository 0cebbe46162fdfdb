// Flatten: two dimensions, those before the axis and those from it on; a Reshape.
#include "ops/layout.h"
#include "ops/reshape.h"

namespace fovea::core {
namespace {

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"axis"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  const Shape& shape = c.input(0)->shape;
  const auto rank = static_cast<int64_t>(shape.size());
  int64_t axis = c.int_attr("axis", 1);
  if (axis < -rank || axis > rank)
    return c.error(fmt::format("expected an axis in [{}, {}], found {}", -rank, rank, axis));
  if (axis < 0) axis += rank;
  const Dim outer = product(std::span(shape).first(static_cast<size_t>(axis))),
            inner = product(std::span(shape).subspan(static_cast<size_t>(axis)));
  // One number of the target may be left open; where neither product is a number, size 0 copies the first dimension.
  std::vector<int64_t> target;
  if (inner.is_const() && (outer.is_const() || axis != 1)) target = {outer.constant().value_or(-1), inner.int_value()};
  else if (axis == 1) target = {0, inner.constant().value_or(-1)};
  else if (outer.is_const()) target = {outer.int_value(), -1};
  else return c.unsupported(fmt::format("axis {} of {}: neither side has a known size", axis, to_string(shape)));
  const bool exact = inner.is_const() && outer.is_const();  // a size 0 among them is one
  return emit_one(c, op_Reshape, make_attrs(ReshapeAttrs{.allowzero = exact}), {c.input(0), c.ints(target)});
}

}  // namespace

const OpDef op_Flatten = {.info = {.name = "Flatten"}, .onnx = {"Flatten"}, .import = import};

}  // namespace fovea::core
