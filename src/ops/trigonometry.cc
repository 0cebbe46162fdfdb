// Trigonometric and hyperbolic functions and their inverses. Tanh, an activation, stands with those.
#include "ops/eltwise.h"

namespace fovea::core {

const OpDef op_Sin = {
    .info = {.name = "Sin", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Sin"},
    .import = import_without_attributes,
};
const OpDef op_Cos = {
    .info = {.name = "Cos", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Cos"},
    .import = import_without_attributes,
};
const OpDef op_Tan = {
    .info = {.name = "Tan", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Tan"},
    .import = import_without_attributes,
};
const OpDef op_Asin = {
    .info = {.name = "Asin", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Asin"},
    .import = import_without_attributes,
};
const OpDef op_Acos = {
    .info = {.name = "Acos", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Acos"},
    .import = import_without_attributes,
};
const OpDef op_Atan = {
    .info = {.name = "Atan", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Atan"},
    .import = import_without_attributes,
};
const OpDef op_Sinh = {
    .info = {.name = "Sinh", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Sinh"},
    .import = import_without_attributes,
};
const OpDef op_Cosh = {
    .info = {.name = "Cosh", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Cosh"},
    .import = import_without_attributes,
};
const OpDef op_Asinh = {
    .info = {.name = "Asinh", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Asinh"},
    .import = import_without_attributes,
};
const OpDef op_Acosh = {
    .info = {.name = "Acosh", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Acosh"},
    .import = import_without_attributes,
};
const OpDef op_Atanh = {
    .info = {.name = "Atanh", .infer = infer_unary_as<TypeRule::kFloat>},
    .onnx = {"Atanh"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
