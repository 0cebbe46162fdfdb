// What the convolutions of libraries share: NHWC, channels padded to a multiple of 8, weights packed alike.
#pragma once

#include "kernels/cuda/common.h"

namespace fovea::core::cuda {

enum ConvInput : size_t { kX, kWeights, kBias, kConvInputs };

inline int64_t padded(int64_t channels) { return (channels + 7) / 8 * 8; }

// Why no library could take it, whatever its window is.
std::string conv_refusal(const Group& group);

// x, residual and result in NHWC8, float16 where all of them may be: matrix units pay for every conversion.
std::vector<FormatChoice> conv_formats(const Group& group);

struct ConvConstants {
  std::shared_ptr<void> weights, bias;  // in the device's memory; no bias where the group has none
  TensorPtr weights_owner;              // whose address names the packed ones
};

// Weights in the type of x as [output channel][row][column][input channel] and the bias in `bias_type`; channels
// padded with zeros. Kernels that ask for the same share them.
Result<ConvConstants> pack_conv(const PrepareContext& context, DType bias_type);

}  // namespace fovea::core::cuda
