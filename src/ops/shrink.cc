// Shrink: x + bias below -lambd, x - bias above lambd, 0 between; soft thresholding where bias is lambd.
#include "ops/shrink.h"

#include "ops/eltwise.h"

namespace fovea::core {

const OpDef op_Shrink = {
    .info = {.name = "Shrink", .attrs = attrs_codec<ShrinkAttrs>(), .infer = infer_unary_as<TypeRule::kNumeric>},
    .onnx = {"Shrink"},
    .import = import_as_is<ShrinkAttrs>,
};

}  // namespace fovea::core
