// Gather: slices of the input along an axis, picked by index; negative indices count from the end.
#include "ops/axis.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<AxisAttrs>().axis, c.rank(0)));
  const Shape data = c.shape(0), indices = c.shape(1);
  const auto a = static_cast<size_t>(axis);
  Shape shape(data.begin(), data.begin() + axis);
  shape.insert(shape.end(), indices.begin(), indices.end());
  shape.insert(shape.end(), data.begin() + axis + 1, data.end());
  c.set_output(0, c.dtype(0), std::move(shape));

  KnownTensor x = known_tensor(c, 0), index = known_tensor(c, 1);
  if (index && data[a].is_const())
    for (const auto& e : *index.values)
      if (e && e->is_const() && (e->int_value() < -data[a].int_value() || e->int_value() >= data[a].int_value()))
        return c.error(fmt::format("index {} is outside [-{}, {}) of axis {}", e->int_value(), data[a].str(),
                                   data[a].str(), axis));
  if (!x || !index) return {};
  propagate(c, 0, [&](std::span<const int64_t> at) -> std::optional<Expr> {
    const auto& e = index.at(at.subspan(a, indices.size()));
    if (!e || !e->is_const()) return std::nullopt;
    std::vector<int64_t> source(at.begin(), at.begin() + axis);
    source.push_back(e->int_value() < 0 ? e->int_value() + x.dims[a] : e->int_value());
    source.insert(source.end(), at.begin() + axis + static_cast<int64_t>(indices.size()), at.end());
    return x.at(source);
  });
  return {};
}

Status import(ImportContext& c) { return import_gather(c, op_Gather); }

}  // namespace

const OpDef op_Gather = {
    .info = {.name = "Gather", .min_inputs = 2, .max_inputs = 2, .attrs = attrs_codec<AxisAttrs>(), .infer = infer},
    .onnx = {"Gather"},
    .import = import,
};

}  // namespace fovea::core
