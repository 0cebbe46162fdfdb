// Reshape: the same elements in row-major order under another shape; a size -1 is what is left, 0 the input's own size
// at that place unless allowzero is set (ONNX 14).
#include "ops/reshape.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const ReshapeAttrs& attrs = c.attrs<ReshapeAttrs>();
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_rank(1, 1));
  if (!c.shape(1)[0].is_const())
    return unsupported("{}: the length of the shape input is not known: rank must be static", c.node().label());
  const auto rank = static_cast<size_t>(c.shape(1)[0].int_value());
  if (rank > kMaxRank) return unsupported("{}: rank {} is above {}", c.node().label(), rank, kMaxRank);
  const Dim total = product(c.shape(0));
  // Of no elements at all, one size says nothing about the others: [0,3,4] may become [3,4,0].
  const Dim bound = total.is_const(0) ? Dim(kUnbounded) : total;
  SymValuePtr known = c.known(1);
  Shape shape;
  Dim rest = 1;
  int inferred = -1, unknown = 0;
  for (size_t i = 0; i < rank; ++i) {
    std::optional<Expr> e = known && i < known->size() ? (*known)[i] : std::nullopt;
    if (e && e->is_const(0) && !attrs.allowzero) {
      if (i >= c.shape(0).size())
        return c.error(
            fmt::format("size 0 at {} copies a dimension that input {} does not have", i, to_string(c.shape(0))));
      e = c.shape(0)[i];
    }
    if (e && e->is_const(-1)) {
      if (inferred >= 0) return c.error("more than one -1 in the shape");
      inferred = static_cast<int>(i);
      e = Dim(1);
    } else if (e && e->is_const() && e->int_value() < -1) {
      return c.error(fmt::format("size {} at {} of the shape", e->int_value(), i));
    }
    // An element that may be -1 at run time, or that nothing is known of, leaves its size to the run.
    if (!e || e->lo() < 0) {
      ++unknown;
      shape.push_back(c.data_dependent_size(0, static_cast<int>(i), 0, bound));
    } else {
      shape.push_back(*e);
      rest = rest * *e;
    }
  }
  if (inferred >= 0) {
    if (unknown) shape[static_cast<size_t>(inferred)] = c.data_dependent_size(0, inferred, 0, bound);
    else if (rest.is_const(0)) shape[static_cast<size_t>(inferred)] = 0;
    else shape[static_cast<size_t>(inferred)] = floor_div(total, rest);
  }
  if (!unknown) {
    Dim target = product(shape);
    if (target.is_const() && total.is_const() && target.int_value() != total.int_value())
      return c.error(fmt::format("cannot reshape {} into {}", to_string(c.shape(0)), to_string(shape)));
  }
  c.set_output(0, c.dtype(0), std::move(shape));
  if (SymValuePtr elements = c.known(0)) c.set_known(0, *elements);
  return {};
}

Status import(ImportContext& c) {
  if (c.opset() >= 5) return import_as_is<ReshapeAttrs>(c);
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(ReshapeAttrs{}), {c.input(0), c.ints(c.ints_attr("shape"))}));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

const OpDef op_Reshape = {
    .info = {.name = "Reshape",
             .min_inputs = 2,
             .max_inputs = 2,
             .attrs = attrs_codec<ReshapeAttrs>(),
             .infer = infer,
             .reads_values = true},
    .onnx = {"Reshape"},
    .import = import,
};

}  // namespace fovea::core
