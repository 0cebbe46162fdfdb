// SpaceToDepth: [n, c, h*b, w*b] to [n, b*b*c, h, w]; each block of b by b pixels becomes the channels of one.
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
  for (size_t d : {2, 3})
    if (floor_mod(x[d], block).lo() > 0)
      return c.error(fmt::format("size {} of dimension {} is no multiple of {}", x[d].str(), d, block));
  c.set_output(0, c.dtype(0), {x[0], x[1] * Dim(block * block), floor_div(x[2], block), floor_div(x[3], block)});
  return {};
}

}  // namespace

const OpDef op_SpaceToDepth = {
    .info = {.name = "SpaceToDepth", .attrs = attrs_codec<BlockDepthAttrs>(), .infer = infer},
    .onnx = {"SpaceToDepth"},
    .import = import_as_is<BlockDepthAttrs>,
};

}  // namespace fovea::core
