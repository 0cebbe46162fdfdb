// What the rows that end in Nms share. Their groups' inputs begin with Nms's own six, in its order; those that are
// taken from elsewhere are null.
#pragma once

#include "kernels/cuda/common.h"
#include "kernels/cuda/detect/nms.h"
#include "ops/nms.h"

namespace fovea::core::cuda {

// Why the device has no kernel for it; empty if it has.
std::string nms_refusal(const Group& group);

// `scores`: their shape, [B,N,C] or [B,N].
Result<NmsArgs> nms_args(const PrepareContext& context, const Node& nms, const std::vector<int64_t>& scores);

// All but where the scores are.
NmsTensors nms_tensors(KernelContext& context);

}  // namespace fovea::core::cuda
