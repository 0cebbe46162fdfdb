// What the rows with DecodeBoxes share. Their groups' inputs begin with its own three, in its order; deltas that are
// taken from elsewhere are null.
#pragma once

#include "kernels/cuda/common.h"
#include "kernels/cuda/detect/decode_boxes.h"
#include "ops/decode_boxes.h"

namespace fovea::core::cuda {

// `deltas`: their shape.
Result<DecodeArgs> decode_args(const PrepareContext& context, const Node& node, const std::vector<int64_t>& deltas);

}  // namespace fovea::core::cuda
