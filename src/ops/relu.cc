// Relu: max(x, 0); NaN stays NaN.
#include "ops/eltwise.h"

namespace fovea::core {

const OpDef op_Relu = {
    .info = {.name = "Relu", .infer = infer_unary_as<TypeRule::kNumeric>},
    .onnx = {"Relu"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
