// Floor, Ceil and Round (halves to even).
#include "ops/eltwise.h"

namespace fovea::core {

const OpDef op_Floor = {.info = {.name = "Floor", .infer = infer_float_op<ExprOp::kFloor>},
                        .onnx = {"Floor"},
                        .import = import_without_attributes};
const OpDef op_Ceil = {.info = {.name = "Ceil", .infer = infer_float_op<ExprOp::kCeil>},
                       .onnx = {"Ceil"},
                       .import = import_without_attributes};
const OpDef op_Round = {.info = {.name = "Round", .infer = infer_float_op<ExprOp::kRound>},
                        .onnx = {"Round"},
                        .import = import_without_attributes};

}  // namespace fovea::core
