// GatherElements: out[i][j][k] = data[i][index[i][j][k]][k] for axis 1, and so on; the output has the indices' shape.
#include "ops/axis.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<AxisAttrs>().axis, c.rank(0)));
  FOVEA_TRY(c.expect_rank(1, c.rank(0)));
  const auto a = static_cast<size_t>(axis);
  for (size_t d = 0; d < c.shape(0).size(); ++d)
    if (d != a && c.shape(1)[d].lo() > c.shape(0)[d].hi())
      return c.error(
          fmt::format("dimension {}: {} indices for data of size {}", d, c.shape(1)[d].str(), c.shape(0)[d].str()));
  c.set_output(0, c.dtype(0), c.shape(1));
  KnownTensor x = known_tensor(c, 0), index = known_tensor(c, 1);
  if (!x || !index) return {};
  propagate(c, 0, [&](std::span<const int64_t> at) -> std::optional<Expr> {
    const auto& e = index.at(at);
    std::vector<int64_t> source(at.begin(), at.end());
    if (!e || !e->is_const()) return std::nullopt;
    source[a] = e->int_value() < 0 ? e->int_value() + x.dims[a] : e->int_value();
    for (size_t d = 0; d < source.size(); ++d)
      if (source[d] < 0 || source[d] >= x.dims[d]) return std::nullopt;  // the run says what is wrong
    return x.at(source);
  });
  return {};
}

Status import(ImportContext& c) { return import_gather(c, op_GatherElements); }

}  // namespace

const OpDef op_GatherElements = {
    .info =
        {.name = "GatherElements", .min_inputs = 2, .max_inputs = 2, .attrs = attrs_codec<AxisAttrs>(), .infer = infer},
    .onnx = {"GatherElements"},
    .import = import,
};

}  // namespace fovea::core
