// BitShift, BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot of integers, with broadcasting.
#include "ops/bitwise.h"

#include "ops/eltwise.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) { return infer_broadcast(c, TypeRule::kInteger); }

Status import_shift(ImportContext& c) {
  if (!c.has("direction")) return c.error("attribute 'direction' is missing");
  return import_as_is<BitShiftAttrs>(c);
}

}  // namespace

const OpDef op_BitShift = {
    .info =
        {.name = "BitShift", .min_inputs = 2, .max_inputs = 2, .attrs = attrs_codec<BitShiftAttrs>(), .infer = infer},
    .onnx = {"BitShift"},
    .import = import_shift,
};
const OpDef op_BitwiseAnd = {
    .info = {.name = "BitwiseAnd", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"BitwiseAnd"},
    .import = import_without_attributes,
};
const OpDef op_BitwiseOr = {
    .info = {.name = "BitwiseOr", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"BitwiseOr"},
    .import = import_without_attributes,
};
const OpDef op_BitwiseXor = {
    .info = {.name = "BitwiseXor", .min_inputs = 2, .max_inputs = 2, .infer = infer},
    .onnx = {"BitwiseXor"},
    .import = import_without_attributes,
};
const OpDef op_BitwiseNot = {
    .info = {.name = "BitwiseNot", .infer = infer_unary_as<TypeRule::kInteger>},
    .onnx = {"BitwiseNot"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
