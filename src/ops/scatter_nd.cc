// ScatterND: the input with slices replaced by updates, or combined with them, at the places that index tuples name.
#include "ops/layout.h"
#include "ops/scatter.h"

namespace fovea::core {
namespace {

// The output's known elements: the input's, but where an update writes; unknown all if a place is not known.
void propagate_updates(InferContext& c, int64_t tuple) {
  KnownTensor x = known_tensor(c, 0), index = known_tensor(c, 1), updates = known_tensor(c, 2);
  auto update_dims = small_shape(c.shape(2));
  if (!x || !index || !update_dims || c.attrs<ScatterNDAttrs>().reduction != ScatterReduction::kNone) return;
  SymValue out = *x.values;
  int64_t slice = 1;
  for (size_t d = static_cast<size_t>(tuple); d < x.dims.size(); ++d) slice *= x.dims[d];
  const auto tuples = static_cast<int64_t>(index.values->size()) / tuple;
  if (tuples * slice != *element_count(*update_dims)) return;
  for (int64_t t = 0; t < tuples; ++t) {
    int64_t first = 0;
    for (int64_t i = 0; i < tuple; ++i) {
      const auto& e = (*index.values)[static_cast<size_t>(t * tuple + i)];
      const int64_t size = x.dims[static_cast<size_t>(i)];
      if (!e || !e->is_const() || e->int_value() < -size || e->int_value() >= size) return;
      first = first * size + (e->int_value() < 0 ? e->int_value() + size : e->int_value());
    }
    for (int64_t k = 0; k < slice; ++k)
      out[static_cast<size_t>(first * slice + k)] =
          updates ? (*updates.values)[static_cast<size_t>(t * slice + k)] : std::nullopt;
  }
  c.set_known(0, std::move(out));
}

Status infer(InferContext& c) {
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_dtype(2, c.dtype(2) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  const Shape data = c.shape(0), indices = c.shape(1), updates = c.shape(2);
  if (indices.empty() || data.empty()) return c.error("data and indices need at least one dimension");
  if (!indices.back().is_const())
    return unsupported("{}: the length of an index tuple, the last size of {}, is not known", c.node().label(),
                       to_string(indices));
  const int64_t tuple = indices.back().int_value();
  if (tuple < 1 || tuple > c.rank(0))
    return c.error(fmt::format("tuples of {} do not index {}", tuple, to_string(data)));
  Shape expected(indices.begin(), indices.end() - 1);
  expected.insert(expected.end(), data.begin() + tuple, data.end());
  FOVEA_TRY(c.expect_rank(2, static_cast<int64_t>(expected.size())));
  for (size_t d = 0; d < expected.size(); ++d)
    FOVEA_TRY(same_size(c, updates[d], expected[d], fmt::format("dimension {} of the updates", d)).status());
  c.set_output(0, c.dtype(0), data);
  propagate_updates(c, tuple);
  return {};
}

}  // namespace

const OpDef op_ScatterND = {
    .info =
        {.name = "ScatterND", .min_inputs = 3, .max_inputs = 3, .attrs = attrs_codec<ScatterNDAttrs>(), .infer = infer},
    .onnx = {"ScatterND"},
    .import = import_as_is<ScatterNDAttrs>,
};

}  // namespace fovea::core
