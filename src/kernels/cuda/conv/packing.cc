#include "kernels/cuda/conv/packing.h"

#include <cmath>
#include <cstring>

#include "ops/conv.h"

namespace fovea::core::cuda {
namespace {

// Output channel, row, column, input channel; channels padded with zeros.
std::vector<float> packed_weights(const Tensor& w, int64_t in, int64_t out) {
  const Dims& d = w.dims();
  const int64_t r = d[2], s = d[3];
  std::vector<float> packed(static_cast<size_t>(out * r * s * in), 0.0f);
  const auto* from = reinterpret_cast<const float*>(w.bytes().data());
  for (int64_t k = 0; k < d[0]; ++k)
    for (int64_t c = 0; c < d[1]; ++c)
      for (int64_t i = 0; i < r * s; ++i)
        packed[static_cast<size_t>((k * r * s + i) * in + c)] = from[(k * d[1] + c) * r * s + i];
  return packed;
}

Result<std::shared_ptr<void>> upload_as(const PrepareContext& c, const std::string& key, DType type,
                                        const std::vector<float>& values) {
  if (type == DType::kFloat32) return upload(c, key, values.data(), static_cast<int64_t>(values.size()) * 4);
  std::vector<Half> halves;
  halves.reserve(values.size());
  for (float v : values) {
    halves.emplace_back(v);
    const bool finite = (halves.back().bits & 0x7c00) != 0x7c00;
    if (!finite && std::isfinite(v)) return unsupported("a weight of {} does not fit into float16", v);
  }
  return upload(c, key, halves.data(), static_cast<int64_t>(halves.size()) * 2);
}

}  // namespace

std::string conv_refusal(const Group& group) {
  const Value *x = group.inputs[kX], *w = group.inputs[kWeights], *bias = group.inputs[kBias];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  if (x->shape.size() != 4) return fmt::format("rank {}, not 4", x->shape.size());
  if (!w->constant) return "weights are not constant";
  if (bias && !bias->constant) return "bias is not constant";
  if (w->constant->count() == 0) return "no weights";
  return "";
}

std::vector<FormatChoice> conv_formats(const Group& group) {
  auto all = [&](const Format& f) {
    FormatChoice c;
    c.inputs.assign(group.inputs.size(), kHost);
    c.inputs[kX] = f;
    if (group.residual >= 0) c.inputs[static_cast<size_t>(group.residual)] = f;
    c.outputs = {f};
    return c;
  };
  bool halves = may_be_half(*group.inputs[kX]) && may_be_half(*group.outputs[0]);
  if (group.residual >= 0) halves &= may_be_half(*group.inputs[static_cast<size_t>(group.residual)]);
  return {all(halves ? half(kNhwc8) : kNhwc8)};
}

Result<ConvConstants> pack_conv(const PrepareContext& c, DType bias_type) {
  const DType type = c.inputs[kX].dtype;
  ConvConstants out;
  out.weights_owner = c.inputs[kWeights].constant;
  const Tensor& w = *out.weights_owner;
  const int64_t in = c.group.nodes[0]->as<ConvAttrs>().group > 1 ? w.dims()[1] : padded(w.dims()[1]);
  const int64_t channels = padded(w.dims()[0]);
  const std::string key = fmt::format("cuda conv {} {}", static_cast<const void*>(&w), to_string(type));
  out.weights = c.weights->find(key);
  if (!out.weights) {
    FOVEA_TRY_SET(out.weights, upload_as(c, key, type, packed_weights(w, in, channels)));
  }
  if (const TensorPtr& bias = c.inputs[kBias].constant) {
    std::vector<float> values(static_cast<size_t>(channels), 0.0f);
    std::memcpy(values.data(), bias->bytes().data(), bias->bytes().size());
    const std::string bias_key =
        fmt::format("{} bias {} {}", key, static_cast<const void*>(bias.get()), to_string(bias_type));
    FOVEA_TRY_SET(out.bias, upload_as(c, bias_key, bias_type, values));
  }
  return out;
}

}  // namespace fovea::core::cuda
