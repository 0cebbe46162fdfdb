// Squeeze: without the dimensions of size 1 that `axes` lists.
#include "ops/axes.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  const Shape from = c.shape(0);
  std::vector<bool> gone(from.size());
  for (int64_t axis : c.attrs<AxesAttrs>().axes) {
    FOVEA_TRY_SET(axis, c.axis(axis, c.rank(0)));
    const auto a = static_cast<size_t>(axis);
    if (from[a].lo() > 1 || from[a].hi() < 1)
      return c.error(fmt::format("dimension {} of {} is not 1", axis, to_string(from)));
    gone[a] = true;
  }
  Shape shape;
  for (size_t i = 0; i < from.size(); ++i)
    if (!gone[i]) shape.push_back(from[i]);
  c.set_output(0, c.dtype(0), std::move(shape));
  if (SymValuePtr known = c.known(0)) c.set_known(0, *known);
  return {};
}

// Without axes every dimension of size 1 goes, so that each has to be known to be 1 or not.
Result<std::vector<int64_t>> all_ones(ImportContext& c, const Shape& shape) {
  std::vector<int64_t> axes;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i].is_const(1)) axes.push_back(static_cast<int64_t>(i));
    else if (shape[i].lo() <= 1 && shape[i].hi() >= 1)
      return c.unsupported(
          fmt::format("no axes are given, and whether dimension {} of {} is 1 is not known: the rank must be static", i,
                      to_string(shape)));
  }
  return axes;
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"axes"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  const Shape& shape = c.input(0)->shape;
  FOVEA_TRY_SET(auto given, axes_attr_or_input(c, 1));
  AxesAttrs attrs;
  if (given) {
    FOVEA_TRY_SET(attrs.axes, normal_axes(c, *std::move(given), static_cast<int64_t>(shape.size())));
  } else {
    FOVEA_TRY_SET(attrs.axes, all_ones(c, shape));
  }
  std::sort(attrs.axes.begin(), attrs.axes.end());
  return emit_one(c, op_Squeeze, make_attrs(std::move(attrs)), {c.input(0)});
}

}  // namespace

const OpDef op_Squeeze = {
    .info = {.name = "Squeeze", .attrs = attrs_codec<AxesAttrs>(), .infer = infer},
    .onnx = {"Squeeze"},
    .import = import,
};

}  // namespace fovea::core
