// Identity: no node at all.
#include "ops/op.h"

namespace fovea::core {
namespace {

Status import(ImportContext& c) {
  if (!c.input(0)) return c.error("input 0 is missing");
  c.set_output(0, c.input(0));
  return {};
}

}  // namespace

const OpDef op_Identity = {.info = {.name = "Identity"}, .onnx = {"Identity"}, .import = import};

}  // namespace fovea::core
