// ScatterElements: out[index[i][j]][j] = updates[i][j] for axis 0, or combined with what is there; otherwise the input.
#include "ops/layout.h"
#include "ops/scatter.h"

namespace fovea::core {
namespace {

void propagate_updates(InferContext& c, size_t axis) {
  KnownTensor x = known_tensor(c, 0), index = known_tensor(c, 1), updates = known_tensor(c, 2);
  if (!x || !index || !updates || index.dims != updates.dims ||
      c.attrs<ScatterElementsAttrs>().reduction != ScatterReduction::kNone)
    return;
  SymValue out = *x.values;
  for (size_t i = 0; i < index.values->size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t place = 0, stride = 1;
    for (size_t d = x.dims.size(); d-- > 0;) {
      int64_t at = rest % index.dims[d];
      rest /= index.dims[d];
      if (d == axis) {
        const auto& e = (*index.values)[i];
        if (!e || !e->is_const()) return;
        at = e->int_value() < 0 ? e->int_value() + x.dims[d] : e->int_value();
      }
      if (at < 0 || at >= x.dims[d]) return;  // the run says what is wrong
      place += at * stride;
      stride *= x.dims[d];
    }
    out[static_cast<size_t>(place)] = (*updates.values)[i];
  }
  c.set_known(0, std::move(out));
}

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_dtype(2, c.dtype(2) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<ScatterElementsAttrs>().axis, c.rank(0)));
  FOVEA_TRY(c.expect_rank(1, c.rank(0)));
  FOVEA_TRY(c.expect_rank(2, c.rank(0)));
  for (size_t d = 0; d < c.shape(0).size(); ++d) {
    FOVEA_TRY(
        same_size(c, c.shape(2)[d], c.shape(1)[d], fmt::format("dimension {} of updates and indices", d)).status());
    if (d != static_cast<size_t>(axis) && c.shape(1)[d].lo() > c.shape(0)[d].hi())
      return c.error(
          fmt::format("dimension {}: {} indices for data of size {}", d, c.shape(1)[d].str(), c.shape(0)[d].str()));
  }
  c.set_output(0, c.dtype(0), c.shape(0));
  propagate_updates(c, static_cast<size_t>(axis));
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(ScatterElementsAttrs attrs, c.read<ScatterElementsAttrs>());
  if (!c.input(0)) return c.error("input 0 is missing");
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, attrs.axis, static_cast<int64_t>(c.input(0)->shape.size())));
  FOVEA_TRY_SET(Value * indices, int64_input(c, 1));
  return emit_one(c, op_ScatterElements, make_attrs(attrs), {c.input(0), indices, c.input(2)});
}

}  // namespace

const OpDef op_ScatterElements = {
    .info = {.name = "ScatterElements",
             .min_inputs = 3,
             .max_inputs = 3,
             .attrs = attrs_codec<ScatterElementsAttrs>(),
             .infer = infer},
    .onnx = {"ScatterElements", "Scatter"},
    .import = import,
};

}  // namespace fovea::core
