// ReverseSequence: in each batch entry the first sequence_lens[i] time steps in reverse order.
#include "ops/reverse_sequence.h"

#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ReverseSequenceAttrs>();
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_dtype(1, c.dtype(1) == DType::kInt64, "int64"));
  FOVEA_TRY(c.expect_rank(1, 1));
  if (c.rank(0) < 2) return c.error(fmt::format("expected at least 2 dimensions, found {}", to_string(c.shape(0))));
  if (attrs.batch_axis + attrs.time_axis != 1 || attrs.batch_axis * attrs.time_axis != 0)
    return c.error(fmt::format("batch_axis {} and time_axis {}: expected 0 and 1", attrs.batch_axis, attrs.time_axis));
  FOVEA_TRY(
      same_size(c, c.shape(1)[0], c.shape(0)[static_cast<size_t>(attrs.batch_axis)], "number of lengths").status());
  c.set_output(0, c.dtype(0), c.shape(0));
  return {};
}

}  // namespace

const OpDef op_ReverseSequence = {
    .info = {.name = "ReverseSequence",
             .min_inputs = 2,
             .max_inputs = 2,
             .attrs = attrs_codec<ReverseSequenceAttrs>(),
             .infer = infer},
    .onnx = {"ReverseSequence"},
    .import = import_as_is<ReverseSequenceAttrs>,
};

}  // namespace fovea::core
