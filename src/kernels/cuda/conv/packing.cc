#include "kernels/cuda/conv/packing.h"

#include <algorithm>
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

bool is_product(const Node& conv) {
  const auto& attrs = conv.as<ConvAttrs>();
  const Shape& w = conv.input(kWeights)->shape;
  return attrs.group == 1 && w.size() == 4 && w[2].is_const(1) && w[3].is_const(1) &&
         std::ranges::all_of(attrs.strides, [](int64_t s) { return s == 1; }) &&
         std::ranges::all_of(attrs.pads, [](int64_t p) { return p == 0; });
}

std::string conv_refusal(const Group& group) { return inputs_refusal(group.inputs); }

std::string inputs_refusal(std::span<const Value* const> inputs) {
  const Value *x = inputs[kX], *w = inputs[kWeights], *bias = inputs[kBias];
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

Result<ConvWeights> pack_weights(const PrepareContext& c, const Tensor& w, bool grouped, DType type) {
  ConvWeights out;
  out.key = fmt::format("cuda conv {} {}", static_cast<const void*>(&w), to_string(type));
  out.data = c.weights->find(out.key);
  if (!out.data) {
    const int64_t in = grouped ? w.dims()[1] : padded(w.dims()[1]);
    FOVEA_TRY_SET(out.data, upload_as(c, out.key, type, packed_weights(w, in, padded(w.dims()[0]))));
  }
  return out;
}

Result<ConvConstants> pack_conv(const PrepareContext& c, DType bias_type) {
  ConvConstants out;
  out.weights_owner = c.inputs[kWeights].constant;
  const bool grouped = c.group.nodes[0]->as<ConvAttrs>().group > 1;
  FOVEA_TRY_SET(ConvWeights packed, pack_weights(c, *out.weights_owner, grouped, c.inputs[kX].dtype));
  out.weights = std::move(packed.data);
  if (const TensorPtr& bias = c.inputs[kBias].constant) {
    std::vector<float> values(static_cast<size_t>(padded(out.weights_owner->dims()[0])), 0.0f);
    std::memcpy(values.data(), bias->bytes().data(), bias->bytes().size());
    const std::string bias_key =
        fmt::format("{} bias {} {}", packed.key, static_cast<const void*>(bias.get()), to_string(bias_type));
    FOVEA_TRY_SET(out.bias, upload_as(c, bias_key, bias_type, values));
  }
  return out;
}

}  // namespace fovea::core::cuda
