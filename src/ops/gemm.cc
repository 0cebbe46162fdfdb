// Gemm: alpha * A' * B' + beta * C, where A' and B' are A and B or their transposes, and C is broadcast.
#include "ops/gemm.h"

#include "ops/op.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<GemmAttrs>();
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  for (size_t i = 1; i < c.input_count(); ++i)
    if (c.has(i))
      FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  FOVEA_TRY(c.expect_rank(0, 2));
  FOVEA_TRY(c.expect_rank(1, 2));
  const Shape &a = c.shape(0), &b = c.shape(1);
  const Dim &depth = a[attrs.transA ? 0 : 1], &other = b[attrs.transB ? 1 : 0];
  if (depth.is_const() && other.is_const() && !(depth == other))
    return c.error(fmt::format("cannot multiply {} with {}", to_string(a), to_string(b)));
  const Shape y = {a[attrs.transA ? 1 : 0], b[attrs.transB ? 0 : 1]};
  if (c.has(2)) {
    const Shape shapes[] = {y, c.shape(2)};
    auto sum = broadcast_shapes(shapes);
    bool fits = sum.ok() && sum->size() == 2;
    for (size_t i = 0; fits && i < 2; ++i) fits = !(*sum)[i].is_const() || !y[i].is_const() || (*sum)[i] == y[i];
    if (!fits)
      return c.error(fmt::format("input 2 of shape {} cannot be broadcast to {}", to_string(c.shape(2)), to_string(y)));
  }
  c.set_output(0, c.dtype(0), y);
  return {};
}

}  // namespace

const OpDef op_Gemm = {
    .info = {.name = "Gemm", .min_inputs = 2, .max_inputs = 3, .attrs = attrs_codec<GemmAttrs>(), .infer = infer},
    .onnx = {"Gemm"},
    .import = import_as_is<GemmAttrs>,
};

}  // namespace fovea::core
