// Where: x where the condition holds, y elsewhere, all three broadcast together.
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, c.dtype(0) == DType::kBool, "bool"));
  FOVEA_TRY(c.expect_dtype(2, c.dtype(2) == c.dtype(1), fmt::format("{} as input 1", to_string(c.dtype(1)))));
  FOVEA_TRY(refuse_strings(c, 1));
  const Shape shapes[] = {c.shape(0), c.shape(1), c.shape(2)};
  auto shape = broadcast_shapes(shapes);
  if (!shape.ok()) return c.error(shape.status().message());
  c.set_output(0, c.dtype(1), *shape);

  auto to = small_shape(*shape);
  KnownTensor condition = known_tensor(c, 0), x = known_tensor(c, 1), y = known_tensor(c, 2);
  if (!to || !condition || (!x && !y)) return {};
  const auto unknown = SymValue(static_cast<size_t>(*element_count(*to)));
  const SymValue picks = broadcast_known(condition, *to);
  const SymValue xs = x ? broadcast_known(x, *to) : unknown, ys = y ? broadcast_known(y, *to) : unknown;
  SymValue out;
  for (size_t i = 0; i < picks.size(); ++i) {
    if (picks[i] && picks[i]->is_const()) out.push_back(picks[i]->int_value() ? xs[i] : ys[i]);
    else if (xs[i] && ys[i] && (picks[i] || *xs[i] == *ys[i]))
      out.push_back(picks[i] ? select(*picks[i], *xs[i], *ys[i]) : *xs[i]);
    else out.emplace_back();
  }
  c.set_known(0, std::move(out));
  return {};
}

}  // namespace

const OpDef op_Where = {
    .info = {.name = "Where", .min_inputs = 3, .max_inputs = 3, .infer = infer},
    .onnx = {"Where"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
