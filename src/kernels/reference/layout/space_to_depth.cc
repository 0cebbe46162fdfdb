#include "kernels/reference/layout/copy.h"
#include "ops/block_depth.h"

namespace fovea::core {

Status reference_SpaceToDepth(KernelContext& c) {
  const auto& attrs = c.attrs<BlockDepthAttrs>();
  const TensorRef& x = c.in(0);
  const int64_t b = attrs.blocksize, channels = x.dims[1], h = x.dims[2] / b, w = x.dims[3] / b;
  if (h * b != x.dims[2] || w * b != x.dims[3])
    return invalid_argument("{} by {} pixels are no multiple of {}", x.dims[2], x.dims[3], b);
  FOVEA_TRY(ensure_shape(c, 0, {x.dims[0], channels * b * b, h, w}));
  StridedBytes from = readable(c, x), to = writable(c, c.out());
  // Loops n, row in block, column in block, c, h, w on both sides.
  const bool dcr = attrs.mode == DepthOrder::kDcr;
  const auto [fn, fc, fh, fw] = std::array{from.strides[0], from.strides[1], from.strides[2], from.strides[3]};
  const auto [tn, tc, th, tw] = std::array{to.strides[0], to.strides[1], to.strides[2], to.strides[3]};
  from.strides = {fn, fh, fw, fc, b * fh, b * fw};
  const StridedBytes blocks{
      to.data, {tn, dcr ? b * channels * tc : b * tc, dcr ? channels * tc : tc, dcr ? tc : b * b * tc, th, tw}};
  const int64_t shape[] = {x.dims[0], b, b, channels, h, w};
  copy_strided(shape, blocks, from, element_size(x.dtype), c.threads);
  finish_writable(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
