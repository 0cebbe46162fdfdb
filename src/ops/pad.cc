// Pad: elements added before and after along some axes, or taken away where a pad is negative. Inputs: data, pads,
// optionally the constant.
#include "ops/pad.h"

#include "ops/layout.h"
#include "ops/tensors.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const PadAttrs& attrs = c.attrs<PadAttrs>();
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_rank(1, 1));
  if (c.has(2)) {
    FOVEA_TRY(c.expect_dtype(2, c.dtype(2) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
    if (const Dim values = product(c.shape(2)); values.is_const() && !values.is_const(1))
      return c.error(fmt::format("input 2: expected one constant, found shape {}", to_string(c.shape(2))));
  }
  const size_t count = attrs.axes.size();
  FOVEA_TRY(same_size(c, c.shape(1)[0], static_cast<int64_t>(2 * count), "number of pads and twice that of the axes")
                .status());
  SymValuePtr pads = c.known(1);
  const Shape from = c.shape(0);
  Shape shape = from;
  std::vector<std::optional<int64_t>> before(from.size(), 0);
  std::vector<bool> seen(from.size());
  for (size_t i = 0; i < count; ++i) {
    FOVEA_TRY_SET(const int64_t axis, c.axis(attrs.axes[i], c.rank(0)));
    const auto a = static_cast<size_t>(axis);
    if (seen[a]) return c.error(fmt::format("axis {} is given twice", axis));
    seen[a] = true;
    const std::optional<Expr> first = pads && i < pads->size() ? (*pads)[i] : std::nullopt;
    const std::optional<Expr> last = pads && i + count < pads->size() ? (*pads)[i + count] : std::nullopt;
    before[a] = first ? first->constant() : std::nullopt;
    if (first && last) {
      FOVEA_TRY_SET(shape[a], as_size(c, from[a] + *first + *last, fmt::format("padded dimension {}", axis)));
    } else {
      shape[a] = c.data_dependent_size(0, static_cast<int>(axis), 0, kUnbounded);
    }
  }
  c.set_output(0, c.dtype(0), std::move(shape));

  KnownTensor x = known_tensor(c, 0);
  if (!x || attrs.mode != PadMode::kConstant) return {};
  SymValuePtr value = c.has(2) ? c.known(2) : nullptr;
  std::optional<Expr> fill = value && value->size() == 1 ? (*value)[0] : std::nullopt;
  if (!c.has(2))
    if (TensorPtr zero = scalar_tensor(c.dtype(0), 0))
      if (SymValuePtr k = known_of(*zero)) fill = (*k)[0];
  propagate(c, 0, [&](std::span<const int64_t> at) -> std::optional<Expr> {
    std::vector<int64_t> source(at.begin(), at.end());
    bool inside = true;
    for (size_t d = 0; d < source.size(); ++d) {
      if (!before[d]) return std::nullopt;
      source[d] -= *before[d];
      inside = inside && source[d] >= 0 && source[d] < x.dims[d];
    }
    return inside ? x.at(source) : fill;
  });
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"mode", "pads", "paddings", "value"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  const auto rank = static_cast<int64_t>(c.input(0)->shape.size());
  PadAttrs attrs;
  const std::string mode = c.string_attr("mode", "constant");
  const auto found = std::find(kPadModes.begin(), kPadModes.end(), mode);
  if (found == kPadModes.end())
    return c.error(fmt::format("mode '{}' is none of constant, reflect, edge and wrap", mode));
  attrs.mode = static_cast<PadMode>(found - kPadModes.begin());
  for (int64_t i = 0; i < rank; ++i) attrs.axes.push_back(i);
  Value *pads = nullptr, *value = nullptr;
  if (c.opset() < 11) {
    pads = c.ints(c.ints_attr(c.has("paddings") ? "paddings" : "pads"));
    if (c.has("value")) value = c.constant(scalar_tensor(c.input(0)->dtype, c.float_attr("value", 0)));
  } else {
    FOVEA_TRY_SET(pads, int64_input(c, 1));
    value = c.input(2);
    if (Value* axes = c.input(3)) {
      auto given = known_ints(axes);
      if (!given)
        return c.unsupported(
            fmt::format("axes '{}' are computed by the network; they have to be constants", axes->name));
      FOVEA_TRY_SET(attrs.axes, normal_axes(c, *std::move(given), rank));
    }
  }
  if (attrs.mode != PadMode::kConstant) value = nullptr;  // nobody reads it
  return emit_one(c, op_Pad, make_attrs(std::move(attrs)), {c.input(0), pads, value});
}

}  // namespace

const OpDef op_Pad = {
    .info = {.name = "Pad",
             .min_inputs = 2,
             .max_inputs = 3,
             .attrs = attrs_codec<PadAttrs>(),
             .infer = infer,
             .reads_values = true},
    .onnx = {"Pad"},
    .import = import,
};

}  // namespace fovea::core
