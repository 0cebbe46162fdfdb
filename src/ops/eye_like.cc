// EyeLike: a matrix of the input's shape with ones on a diagonal.
#include "ops/eye_like.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const DType type = c.attrs<EyeLikeAttrs>().dtype;
  FOVEA_TRY(c.expect_rank(0, 2));
  if (!is_float(type) && !is_integer(type) && type != DType::kBool)
    return unsupported("{}: a matrix of {}", c.node().label(), to_string(type));
  c.set_output(0, type, c.shape(0));
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(EyeLikeAttrs attrs, c.read<EyeLikeAttrs>());
  if (!c.input(0)) return c.error("input 0 is missing");
  if (!c.has("dtype")) attrs.dtype = c.input(0)->dtype;
  return emit_one(c, op_EyeLike, make_attrs(attrs), {c.input(0)});
}

}  // namespace

const OpDef op_EyeLike = {
    .info = {.name = "EyeLike", .attrs = attrs_codec<EyeLikeAttrs>(), .infer = infer},
    .onnx = {"EyeLike"},
    .import = import,
};

}  // namespace fovea::core
