// Concat: inputs one after another along an axis.
#include "ops/axis.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<AxisAttrs>().axis, c.rank(0)));
  const auto a = static_cast<size_t>(axis);
  Shape shape = c.shape(0);
  for (size_t i = 1; i < c.input_count(); ++i) {
    FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
    FOVEA_TRY(c.expect_rank(i, c.rank(0)));
    for (size_t d = 0; d < shape.size(); ++d) {
      if (d == a) {
        shape[d] = shape[d] + c.shape(i)[d];
        continue;
      }
      FOVEA_TRY_SET(shape[d], same_size(c, shape[d], c.shape(i)[d], fmt::format("dimension {} of input {}", d, i)));
    }
  }
  std::vector<KnownTensor> parts;
  bool any = false;
  for (size_t i = 0; i < c.input_count(); ++i)
    parts.push_back(known_tensor(c, i)), any |= static_cast<bool>(parts.back());
  c.set_output(0, c.dtype(0), std::move(shape));
  if (!any) return {};
  propagate(c, 0, [&](std::span<const int64_t> at) -> std::optional<Expr> {
    std::vector<int64_t> source(at.begin(), at.end());
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto size = c.shape(i)[a].constant();
      if (!size) return std::nullopt;  // k0 + (5 - k0) is a constant too
      if (source[a] < *size) return parts[i] ? parts[i].at(source) : std::nullopt;
      source[a] -= *size;
    }
    return std::nullopt;
  });
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(AxisAttrs attrs, c.read<AxisAttrs>());
  if (!c.has("axis") && c.opset() >= 4) return c.error("attribute 'axis' is missing");
  if (!c.has("axis")) attrs.axis = 1;
  for (size_t i = 0; i < std::max<size_t>(c.input_count(), 1); ++i)
    if (!c.input(i)) return c.error(fmt::format("input {} is missing", i));
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, attrs.axis, static_cast<int64_t>(c.input(0)->shape.size())));
  if (c.input_count() == 1) {
    c.set_output(0, c.input(0));
    return {};
  }
  return emit_one(c, op_Concat, make_attrs(attrs), c.node().inputs);
}

}  // namespace

const OpDef op_Concat = {
    .info = {.name = "Concat", .min_inputs = 1, .max_inputs = -1, .attrs = attrs_codec<AxisAttrs>(), .infer = infer},
    .onnx = {"Concat"},
    .import = import,
};

}  // namespace fovea::core
