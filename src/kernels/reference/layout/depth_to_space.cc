#include "kernels/reference/layout/copy.h"
#include "ops/block_depth.h"

namespace fovea::core {

Status reference_DepthToSpace(KernelContext& c) {
  const auto& attrs = c.attrs<BlockDepthAttrs>();
  const TensorRef& x = c.in(0);
  const int64_t b = attrs.blocksize, channels = x.dims[1] / (b * b);
  if (channels * b * b != x.dims[1]) return invalid_argument("{} channels are no multiple of {}", x.dims[1], b * b);
  FOVEA_TRY(ensure_shape(c, 0, {x.dims[0], channels, x.dims[2] * b, x.dims[3] * b}));
  StridedBytes from = readable(c, x), to = writable(c, c.out());
  // Loops n, c, h, row in block, w, column in block on both sides.
  const bool dcr = attrs.mode == DepthOrder::kDcr;
  const auto [fn, fc, fh, fw] = std::array{from.strides[0], from.strides[1], from.strides[2], from.strides[3]};
  const auto [tn, tc, th, tw] = std::array{to.strides[0], to.strides[1], to.strides[2], to.strides[3]};
  from.strides = {fn, dcr ? fc : b * b * fc, fh, dcr ? b * channels * fc : b * fc, fw, dcr ? channels * fc : fc};
  const StridedBytes blocks{to.data, {tn, tc, b * th, th, b * tw, tw}};
  const int64_t shape[] = {x.dims[0], channels, x.dims[2], b, x.dims[3], b};
  copy_strided(shape, blocks, from, element_size(x.dtype), c.threads);
  finish_writable(c, c.out(), to);
  return {};
}

}  // namespace fovea::core
