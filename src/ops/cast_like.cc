// CastLike: Cast to the type of a second input.
#include "ops/cast.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status import(ImportContext& c) {
  FOVEA_TRY_SET(CastAttrs attrs, c.read<CastAttrs>());
  if (!c.input(0) || !c.input(1)) return c.error("expected 2 inputs");
  attrs.to = c.input(1)->dtype;
  return emit_one(c, op_Cast, make_attrs(attrs), {c.input(0)});
}

}  // namespace

const OpDef op_CastLike = {.info = {.name = "CastLike"}, .onnx = {"CastLike"}, .import = import};

}  // namespace fovea::core
