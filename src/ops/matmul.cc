// MatMul: matrix products over broadcast batches; a vector is a row on the left and a column on the right.
#include "ops/op.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  if (c.rank(0) == 0 || c.rank(1) == 0) return c.error("a scalar cannot be a matrix");
  Shape a = c.shape(0), b = c.shape(1);
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), Dim(1));
  if (column) b.push_back(Dim(1));
  const Dim &depth = a.back(), &other = b[b.size() - 2];
  if (depth.is_const() && other.is_const() && !(depth == other))
    return c.error(fmt::format("cannot multiply {} with {}", to_string(c.shape(0)), to_string(c.shape(1))));
  const Shape batches[] = {Shape(a.begin(), a.end() - 2), Shape(b.begin(), b.end() - 2)};
  auto shape = broadcast_shapes(batches);
  if (!shape.ok()) return c.error(shape.status().message());
  if (!row) shape->push_back(a[a.size() - 2]);
  if (!column) shape->push_back(b.back());
  c.set_output(0, c.dtype(0), *std::move(shape));
  return {};
}

}  // namespace

const OpDef op_MatMul = {
    .info = {.name = "MatMul", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"MatMul"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
