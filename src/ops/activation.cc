// Activations: element-wise functions of floating-point numbers.
#include "ops/activation.h"

#include "ops/eltwise.h"

namespace fovea::core {

const OpDef op_HardSwish = {
    .info = {.name = "HardSwish", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"HardSwish"},
    .import = import_without_attributes,
};
const OpDef op_Mish = {
    .info = {.name = "Mish", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Mish"},
    .import = import_without_attributes,
};
const OpDef op_Sigmoid = {
    .info = {.name = "Sigmoid", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Sigmoid"},
    .import = import_without_attributes,
};
const OpDef op_Softplus = {
    .info = {.name = "Softplus", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Softplus"},
    .import = import_without_attributes,
};
const OpDef op_Softsign = {
    .info = {.name = "Softsign", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Softsign"},
    .import = import_without_attributes,
};
const OpDef op_Tanh = {
    .info = {.name = "Tanh", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Tanh"},
    .import = import_without_attributes,
};
const OpDef op_Celu = {
    .info = {.name = "Celu", .attrs = attrs_codec<AlphaAttrs>(), .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Celu"},
    .import = import_as_is<AlphaAttrs>,
};
const OpDef op_Elu = {
    .info = {.name = "Elu", .attrs = attrs_codec<AlphaAttrs>(), .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Elu"},
    .import = import_as_is<AlphaAttrs>,
};
const OpDef op_Gelu = {
    .info = {.name = "Gelu", .attrs = attrs_codec<GeluAttrs>(), .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Gelu"},
    .import = import_as_is<GeluAttrs>,
};
const OpDef op_HardSigmoid = {
    .info = {.name = "HardSigmoid",
             .attrs = attrs_codec<HardSigmoidAttrs>(),
             .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"HardSigmoid"},
    .import = import_as_is<HardSigmoidAttrs>,
};
const OpDef op_LeakyRelu = {
    .info = {.name = "LeakyRelu", .attrs = attrs_codec<LeakyReluAttrs>(), .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"LeakyRelu"},
    .import = import_as_is<LeakyReluAttrs>,
};
const OpDef op_Selu = {
    .info = {.name = "Selu", .attrs = attrs_codec<SeluAttrs>(), .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Selu"},
    .import = import_as_is<SeluAttrs>,
};
const OpDef op_Swish = {
    .info = {.name = "Swish", .attrs = attrs_codec<AlphaAttrs>(), .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Swish"},
    .import = import_as_is<AlphaAttrs>,
};
const OpDef op_ThresholdedRelu = {
    .info = {.name = "ThresholdedRelu", .attrs = attrs_codec<AlphaAttrs>(), .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"ThresholdedRelu"},
    .import = import_as_is<AlphaAttrs>,
};

}  // namespace fovea::core
