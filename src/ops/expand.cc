// Expand: the input broadcast together with a shape.
#include "ops/layout.h"

namespace fovea::core {
namespace {

// Size of a dimension that is `own` in the input, where nothing is known of the shape's element.
Dim unknown_target(InferContext& c, int dim, const Dim& own) {
  if (own.lo() > 1) return own;  // the target is this or 1 in a valid model
  return c.data_dependent_size(0, dim, 0, kUnbounded);
}

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_rank(1, 1));
  if (!c.shape(1)[0].is_const())
    return unsupported("{}: the length of the shape input is not known: rank must be static", c.node().label());
  const Shape& from = c.shape(0);
  SymValuePtr target = c.known(1);
  const auto length = static_cast<size_t>(std::min<int64_t>(c.shape(1)[0].int_value(), kMaxRank + 1));
  const size_t rank = std::max(from.size(), length);
  Shape shape;
  for (size_t i = 0; i < rank; ++i) {
    const Dim own = i + from.size() >= rank ? from[i + from.size() - rank] : Dim(1);
    if (i + length < rank) {
      shape.push_back(own);
      continue;
    }
    const size_t k = i + length - rank;
    std::optional<Expr> e = target && k < target->size() ? (*target)[k] : std::nullopt;
    if (!e) {
      shape.push_back(unknown_target(c, static_cast<int>(i), own));
      continue;
    }
    FOVEA_TRY_SET(Dim wanted, as_size(c, *e, fmt::format("element {} of the shape", k)));
    auto size = broadcast_dim(own, wanted);
    if (!size.ok()) return c.error(size.status().message());
    shape.push_back(*size);
  }
  c.set_output(0, c.dtype(0), std::move(shape));
  KnownTensor x = known_tensor(c, 0);
  auto to = small_shape(c.node().outputs[0]->shape);
  if (x && to) c.set_known(0, broadcast_known(x, *to));
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {}));
  return emit_one(c, op_Expand, nullptr, c.node().inputs);
}

}  // namespace

const OpDef op_Expand = {
    .info = {.name = "Expand", .min_inputs = 2, .max_inputs = 2, .infer = infer, .reads_values = true},
    .onnx = {"Expand"},
    .import = import,
};

}  // namespace fovea::core
