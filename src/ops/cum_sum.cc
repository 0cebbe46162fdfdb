// CumSum: sums of all elements up to each one along an axis; integers wrap.
#include "ops/cum_sum.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const CumSumAttrs& attrs = c.attrs<CumSumAttrs>();
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  FOVEA_TRY_SET(const int64_t axis, c.axis(attrs.axis, c.rank(0)));
  const auto a = static_cast<size_t>(axis);
  c.set_output(0, c.dtype(0), c.shape(0));
  KnownTensor x = c.dtype(0) == DType::kInt64 ? known_tensor(c, 0) : KnownTensor{};
  if (!x) return {};
  propagate(c, 0, [&](std::span<const int64_t> at) -> std::optional<Expr> {
    std::vector<int64_t> source(at.begin(), at.end());
    const int64_t first = attrs.reverse ? at[a] + attrs.exclusive : 0,
                  last = attrs.reverse ? x.dims[a] : at[a] + !attrs.exclusive;
    Expr sum = 0;
    for (source[a] = first; source[a] < last; ++source[a]) {
      const auto& e = x.at(source);
      if (!e) return std::nullopt;
      sum = sum + *e;
    }
    return sum;
  });
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(CumSumAttrs attrs, c.read<CumSumAttrs>());
  if (!c.input(0) || !c.input(1)) return c.error("expected 2 inputs");
  auto axis = known_int(c.input(1));
  if (!axis)
    return c.unsupported(
        fmt::format("axis '{}' is computed by the network; it has to be a constant", c.input(1)->name));
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, *axis, static_cast<int64_t>(c.input(0)->shape.size())));
  return emit_one(c, op_CumSum, make_attrs(attrs), {c.input(0)});
}

}  // namespace

const OpDef op_CumSum = {
    .info = {.name = "CumSum", .attrs = attrs_codec<CumSumAttrs>(), .infer = infer},
    .onnx = {"CumSum"},
    .import = import,
};

}  // namespace fovea::core
