// NonZero: indices of the elements that are not zero, as [rank, k]: one column an element, in row-major order.
#include "ops/op.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  Dim count = product(c.shape(0));
  Dim rows = c.rank(0);
  if (auto known = c.known(0)) {
    // Known elements bound the count; all known, they settle it.
    int64_t lo = 0, hi = 0;
    for (const auto& e : *known) {
      bool constant = e && e->is_const();
      lo += constant && e->float_value() != 0;
      hi += !constant || e->float_value() != 0;
    }
    c.set_output(0, DType::kInt64, {rows, c.data_dependent_size(0, 1, lo, hi)});
    return {};
  }
  c.set_output(0, DType::kInt64, {rows, c.data_dependent_size(0, 1, 0, count)});
  return {};
}

}  // namespace

const OpDef op_NonZero = {
    .info = {.name = "NonZero", .infer = infer},
    .onnx = {"NonZero"},
    .import = import_without_attributes,
};

}  // namespace fovea::core
