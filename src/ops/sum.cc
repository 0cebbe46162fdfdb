// Sum and Mean of any number of inputs become chains of Add.
#include "ops/eltwise.h"
#include "ops/tensors.h"

namespace fovea::core {
namespace {

Status import_sum(ImportContext& c) { return import_chain(c, op_Add); }

Status import_mean(ImportContext& c) {
  FOVEA_TRY(import_chain(c, op_Add));
  Value* sum = c.results()[0];
  if (!is_float(sum->dtype))
    return c.error(fmt::format("expected a floating-point type, found {}", to_string(sum->dtype)));
  if (c.input_count() == 1) return {};
  TensorPtr count = scalar_tensor(sum->dtype, static_cast<double>(c.input_count()));
  if (!count) return c.unsupported(fmt::format("mean of {}", to_string(sum->dtype)));
  FOVEA_TRY_SET(Node * node, c.emit(op_Div, nullptr, {sum, c.constant(count)}));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

const OpDef op_Sum = {.info = {.name = "Sum"}, .onnx = {"Sum"}, .import = import_sum};
const OpDef op_Mean = {.info = {.name = "Mean"}, .onnx = {"Mean"}, .import = import_mean};

}  // namespace fovea::core
