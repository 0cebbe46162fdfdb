// Tile: the input repeated along each dimension.
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_rank(1, 1));
  const Shape from = c.shape(0);
  if (c.shape(1)[0].is_const() && !c.shape(1)[0].is_const(c.rank(0)))
    return c.error(fmt::format("{} repeats for an input of rank {}", c.shape(1)[0].str(), from.size()));
  SymValuePtr repeats = c.known(1);
  Shape shape;
  for (size_t i = 0; i < from.size(); ++i) {
    std::optional<Expr> e = repeats && i < repeats->size() ? (*repeats)[i] : std::nullopt;
    if (!e) {
      shape.push_back(from[i].is_const(0) ? Dim(0) : c.data_dependent_size(0, static_cast<int>(i), 0, kUnbounded));
      continue;
    }
    FOVEA_TRY_SET(Dim times, as_size(c, *e, fmt::format("repeat {}", i)));
    shape.push_back(from[i] * times);
  }
  c.set_output(0, c.dtype(0), std::move(shape));
  if (KnownTensor x = known_tensor(c, 0))
    propagate(c, 0, [&](std::span<const int64_t> at) {
      std::vector<int64_t> source(at.begin(), at.end());
      for (size_t i = 0; i < source.size(); ++i) source[i] %= x.dims[i];
      return x.at(source);
    });
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {}));
  return emit_one(c, op_Tile, nullptr, c.node().inputs);
}

}  // namespace

const OpDef op_Tile = {
    .info = {.name = "Tile", .min_inputs = 2, .max_inputs = 2, .infer = infer, .reads_values = true},
    .onnx = {"Tile"},
    .import = import,
};

}  // namespace fovea::core
