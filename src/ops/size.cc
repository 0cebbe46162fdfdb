// Size: how many elements the input has.
#include "ops/op.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  Dim count = product(c.shape(0));
  c.set_output(0, DType::kInt64, {});
  c.set_known(0, {count});
  return {};
}

}  // namespace

const OpDef op_Size = {
    .info = {.name = "Size", .infer = infer},
    .onnx = {"Size"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
