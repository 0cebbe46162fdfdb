// GatherND: the last dimension of the indices holds tuples, each of which picks a slice of the input; the first
// batch_dims dimensions of both go together.
#include "ops/gather_nd.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  const int64_t batch = c.attrs<GatherNDAttrs>().batch_dims;
  const Shape data = c.shape(0), indices = c.shape(1);
  if (indices.empty() || data.empty()) return c.error("data and indices need at least one dimension");
  if (!indices.back().is_const())
    return unsupported("{}: the length of an index tuple, the last size of {}, is not known", c.node().label(),
                       to_string(indices));
  const int64_t tuple = indices.back().int_value();
  if (batch < 0 || batch >= std::min(c.rank(0), c.rank(1)) || tuple < 1 || tuple > c.rank(0) - batch)
    return c.error(fmt::format("tuples of {} with batch_dims {} do not index {}", tuple, batch, to_string(data)));
  const auto b = static_cast<size_t>(batch);
  Shape shape(indices.begin(), indices.end() - 1);
  for (size_t d = 0; d < b; ++d) {
    FOVEA_TRY_SET(shape[d], same_size(c, indices[d], data[d], fmt::format("batch dimension {}", d)));
  }
  shape.insert(shape.end(), data.begin() + batch + tuple, data.end());
  c.set_output(0, c.dtype(0), std::move(shape));

  KnownTensor x = known_tensor(c, 0), index = known_tensor(c, 1);
  if (!x || !index) return {};
  propagate(c, 0, [&](std::span<const int64_t> at) -> std::optional<Expr> {
    std::vector<int64_t> place(at.begin(), at.begin() + static_cast<int64_t>(indices.size()) - 1),
        source(at.begin(), at.begin() + batch);
    place.push_back(0);
    for (int64_t i = 0; i < tuple; ++i) {
      place.back() = i;
      const auto& e = index.at(place);
      const int64_t size = x.dims[source.size()];
      if (!e || !e->is_const() || e->int_value() < -size || e->int_value() >= size) return std::nullopt;
      source.push_back(e->int_value() < 0 ? e->int_value() + size : e->int_value());
    }
    source.insert(source.end(), at.begin() + static_cast<int64_t>(indices.size()) - 1, at.end());
    return x.at(source);
  });
  return {};
}

}  // namespace

const OpDef op_GatherND = {
    .info =
        {.name = "GatherND", .min_inputs = 2, .max_inputs = 2, .attrs = attrs_codec<GatherNDAttrs>(), .infer = infer},
    .onnx = {"GatherND"},
    .import = import_as_is<GatherNDAttrs>,
};

}  // namespace fovea::core
