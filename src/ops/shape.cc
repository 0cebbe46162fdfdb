// Shape: the sizes of the input's dimensions, or of some of them (ONNX 15), as an int64 vector.
#include "ops/shape.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  int64_t first, last;
  c.attrs<ShapeAttrs>().resolve(c.rank(0), first, last);
  const Shape shape = c.shape(0);
  c.set_output(0, DType::kInt64, {last - first});
  SymValue sizes;
  for (int64_t i = first; i < last; ++i) sizes.emplace_back(shape[static_cast<size_t>(i)]);
  c.set_known(0, std::move(sizes));
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(ShapeAttrs attrs, c.read<ShapeAttrs>());
  if (!c.input(0)) return c.error("input 0 is missing");
  ShapeAttrs normal;
  attrs.resolve(static_cast<int64_t>(c.input(0)->shape.size()), normal.start, normal.end);
  return emit_one(c, op_Shape, make_attrs(normal), {c.input(0)});
}

}  // namespace

const OpDef op_Shape = {
    .info = {.name = "Shape", .attrs = attrs_codec<ShapeAttrs>(), .infer = infer},
    .onnx = {"Shape"},
    .import = import,
};

}  // namespace fovea::core
