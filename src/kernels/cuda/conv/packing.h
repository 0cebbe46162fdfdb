// What the convolutions of libraries share: NHWC, channels padded to a multiple of 8, weights packed alike.
#pragma once

#include <span>

#include "kernels/cuda/common.h"

namespace fovea::core::cuda {

enum ConvInput : size_t { kX, kWeights, kBias, kConvInputs };

inline int64_t padded(int64_t channels) { return (channels + 7) / 8 * 8; }

// A 1x1 convolution of every pixel: a matrix product.
bool is_product(const Node& conv);

// Why no library could take a convolution of these inputs (kX, kWeights, kBias), whatever its window is.
std::string inputs_refusal(std::span<const Value* const> inputs);
std::string conv_refusal(const Group& group);

// x, residual and result in NHWC8, float16 where all of them may be: matrix units pay for every conversion.
std::vector<FormatChoice> conv_formats(const Group& group);

// Weights as [output channel][row][column][input channel], channels padded with zeros, in `type`. `key` names them.
struct ConvWeights {
  std::shared_ptr<void> data;  // in the device's memory
  std::string key;
};
Result<ConvWeights> pack_weights(const PrepareContext& context, const Tensor& weights, bool grouped, DType type);

struct ConvConstants {
  std::shared_ptr<void> weights, bias;  // in the device's memory; no bias where the group has none
  TensorPtr weights_owner;              // whose address names the packed ones
};

// Weights in the type of x and the bias in `bias_type`; channels padded with zeros. Kernels that ask for the same share
// them.
Result<ConvConstants> pack_conv(const PrepareContext& context, DType bias_type);

}  // namespace fovea::core::cuda
