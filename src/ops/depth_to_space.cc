// DepthToSpace: [n, b*b*c, h, w] to [n, c, h*b, w*b]; each pixel's channels become a block of b by b pixels.
#include "ops/block_depth.h"
#include "ops/layout.h"

namespace fovea::core {
namespace {

Status infer(InferContext& c) {
  const int64_t block = c.attrs<BlockDepthAttrs>().blocksize;
  FOVEA_TRY(refuse_strings(c, 0));
  FOVEA_TRY(c.expect_rank(0, 4));
  if (block < 1 || block > 1 << 15) return c.error(fmt::format("blocksize is {}", block));
  const Shape& x = c.shape(0);
  if (floor_mod(x[1], block * block).lo() > 0)
    return c.error(fmt::format("{} channels are no multiple of {}", x[1].str(), block * block));
  c.set_output(0, c.dtype(0), {x[0], floor_div(x[1], block * block), x[2] * Dim(block), x[3] * Dim(block)});
  return {};
}

}  // namespace

const OpDef op_DepthToSpace = {
    .info = {.name = "DepthToSpace", .attrs = attrs_codec<BlockDepthAttrs>(), .infer = infer},
    .onnx = {"DepthToSpace"},
    .import = import_as_is<BlockDepthAttrs>,
};

}  // namespace fovea::core
