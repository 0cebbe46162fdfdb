// Unsqueeze: with dimensions of size 1 inserted, so that they stand at `axes` of the output.
#include "ops/axes.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  const auto& axes = c.attrs<AxesAttrs>().axes;
  const size_t rank = c.shape(0).size() + axes.size();
  std::vector<bool> added(rank);
  for (int64_t axis : axes) {
    FOVEA_TRY_SET(axis, c.axis(axis, static_cast<int64_t>(rank)));
    if (added[static_cast<size_t>(axis)]) return c.error(fmt::format("axis {} is given twice", axis));
    added[static_cast<size_t>(axis)] = true;
  }
  Shape shape;
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) shape.push_back(added[i] ? Dim(1) : c.shape(0)[next++]);
  c.set_output(0, c.dtype(0), std::move(shape));
  if (SymValuePtr known = c.known(0)) c.set_known(0, *known);
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"axes"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  FOVEA_TRY_SET(auto given, axes_attr_or_input(c, 1));
  if (!given) return c.error("axes are missing");
  AxesAttrs attrs;
  const auto rank = static_cast<int64_t>(c.input(0)->shape.size() + given->size());
  FOVEA_TRY_SET(attrs.axes, normal_axes(c, *std::move(given), rank));
  std::sort(attrs.axes.begin(), attrs.axes.end());
  return emit_one(c, op_Unsqueeze, make_attrs(std::move(attrs)), {c.input(0)});
}

}  // namespace

const OpDef op_Unsqueeze = {
    .info = {.name = "Unsqueeze", .attrs = attrs_codec<AxesAttrs>(), .infer = infer},
    .onnx = {"Unsqueeze"},
    .import = import,
};

}  // namespace fovea::core
