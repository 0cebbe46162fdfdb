// Trilu: the upper or lower triangle of the last two dimensions, zero elsewhere; input 1 moves the diagonal.
#include "ops/trilu.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  if (c.rank(0) < 2) return c.error(fmt::format("expected at least 2 dimensions, found {}", to_string(c.shape(0))));
  if (c.has(1)) {
    FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
    if (!product(c.shape(1)).is_const(1))
      return c.error(fmt::format("k: expected one number, found shape {}", to_string(c.shape(1))));
  }
  c.set_output(0, c.dtype(0), c.shape(0));
  return {};
}

}  // namespace

const OpDef op_Trilu = {
    .info = {.name = "Trilu", .min_inputs = 1, .max_inputs = 2, .attrs = attrs_codec<TriluAttrs>(), .infer = infer},
    .onnx = {"Trilu"},
    .import = import_as_is<TriluAttrs>,
};

}  // namespace fovea::core
