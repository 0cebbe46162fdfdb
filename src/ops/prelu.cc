// PRelu: x where it is not negative, slope * x where it is; the slope is broadcast to x.
#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  const Shape shapes[] = {c.shape(0), c.shape(1)};
  auto shape = broadcast_shapes(shapes);
  if (!shape.ok() || c.rank(1) > c.rank(0))
    return c.error(
        fmt::format("the slope's shape {} cannot be broadcast to {}", to_string(c.shape(1)), to_string(c.shape(0))));
  for (size_t i = 0; i < shape->size(); ++i)
    if ((*shape)[i].is_const() && c.shape(0)[i].is_const() && !((*shape)[i] == c.shape(0)[i]))
      return c.error(
          fmt::format("the slope's shape {} is larger than {}", to_string(c.shape(1)), to_string(c.shape(0))));
  c.set_output(0, c.dtype(0), c.shape(0));
  return {};
}

}  // namespace

const OpDef op_PRelu = {
    .info = {.name = "PRelu", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"PRelu"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
