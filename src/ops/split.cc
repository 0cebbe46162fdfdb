// Split: the input cut along an axis into as many parts as there are outputs: of the sizes that input 1 gives, or equal
// ones of ceil(size / parts), the last one smaller.
#include "ops/axis.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Result<std::vector<Dim>> given_sizes(InferContext& c, size_t axis, std::vector<std::optional<int64_t>>& offsets) {
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_rank(1, 1));
  FOVEA_TRY(
      same_size(c, c.shape(1)[0], static_cast<int64_t>(c.output_count()), "number of sizes and of outputs").status());
  const Dim total = c.shape(0)[axis];
  SymValuePtr known = c.known(1);
  std::vector<Dim> sizes;
  Dim sum = 0;
  bool complete = true;
  for (size_t i = 0; i < c.output_count(); ++i) {
    offsets.push_back(sum.constant());
    if (!complete) offsets.back().reset();
    std::optional<Expr> e = known && i < known->size() ? (*known)[i] : std::nullopt;
    if (e) {
      FOVEA_TRY_SET(Dim size, as_size(c, *e, fmt::format("size {}", i)));
      sizes.push_back(size);
    } else {
      sizes.push_back(c.data_dependent_size(static_cast<int>(i), static_cast<int>(axis), 0, total));
      complete = false;
    }
    sum = sum + sizes.back();
  }
  if (complete) FOVEA_TRY(same_size(c, sum, total, "sum of the sizes and the axis").status());
  return sizes;
}

std::vector<Dim> equal_sizes(const Dim& total, int64_t parts, std::vector<std::optional<int64_t>>& offsets) {
  const Dim part = ceil_div(total, parts);
  std::vector<Dim> sizes;
  for (int64_t i = 0; i < parts; ++i) {
    offsets.push_back((Expr(i) * part).constant());
    sizes.push_back(i + 1 < parts ? part : max(total - Expr(i) * part, 0));
  }
  return sizes;
}

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY_SET(const int64_t axis, c.axis(c.attrs<AxisAttrs>().axis, c.rank(0)));
  const auto a = static_cast<size_t>(axis);
  const Shape from = c.shape(0);
  const auto parts = static_cast<int64_t>(c.output_count());
  std::vector<std::optional<int64_t>> offsets;
  std::vector<Dim> sizes;
  if (c.has(1)) {
    FOVEA_TRY_SET(sizes, given_sizes(c, a, offsets));
  } else {
    sizes = equal_sizes(from[a], parts, offsets);
    if (from[a].is_const() && (parts - 1) * sizes[0].int_value() > from[a].int_value())
      return c.error(fmt::format("{} cannot be split into {} parts", from[a].str(), parts));
  }
  KnownTensor x = known_tensor(c, 0);
  for (size_t i = 0; i < c.output_count(); ++i) {
    Shape shape = from;
    shape[a] = sizes[i];
    c.set_output(i, c.dtype(0), std::move(shape));
    if (!x || !offsets[i]) continue;
    propagate(c, i, [&](std::span<const int64_t> at) -> std::optional<Expr> {
      std::vector<int64_t> source(at.begin(), at.end());
      source[a] += *offsets[i];
      if (source[a] >= x.dims[a]) return std::nullopt;
      return x.at(source);
    });
  }
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"axis", "split", "num_outputs"}));
  if (!c.input(0)) return c.error("input 0 is missing");
  AxisAttrs attrs;
  FOVEA_TRY_SET(attrs.axis, normal_axis(c, c.int_attr("axis", 0), static_cast<int64_t>(c.input(0)->shape.size())));
  const auto outputs = static_cast<int64_t>(c.output_count());
  Value* sizes = c.has("split") ? c.ints(c.ints_attr("split")) : c.input(1);
  if (const int64_t wanted = c.int_attr("num_outputs", outputs); wanted != outputs)
    return c.error(fmt::format("num_outputs is {}, but there are {} outputs", wanted, outputs));
  const Dim& total = c.input(0)->shape[static_cast<size_t>(attrs.axis)];
  if (!sizes && c.opset() < 18 && total.is_const() && outputs > 0 && total.int_value() % outputs != 0)
    return c.error(fmt::format("{} cannot be split into {} equal parts", total.str(), outputs));
  FOVEA_TRY(c.deferred());
  FOVEA_TRY_SET(Node * node, c.emit(op_Split, make_attrs(attrs), {c.input(0), sizes}, static_cast<int>(outputs)));
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, node->outputs[i]);
  return {};
}

}  // namespace

const OpDef op_Split = {
    .info = {.name = "Split",
             .min_inputs = 1,
             .max_inputs = 2,
             .max_outputs = 1 << 16,
             .attrs = attrs_codec<AxisAttrs>(),
             .infer = infer,
             .reads_values = true},
    .onnx = {"Split"},
    .import = import,
};

}  // namespace fovea::core
