// Transposed convolution by oneDNN, which runs the backward pass of a convolution.
#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/table.h"
#include "ops/conv_transpose.h"

namespace fovea::core {
namespace {

using dnnl::memory;

enum Input : size_t { kX, kWeights, kBias, kInputs };

std::vector<Group> match(const Graph&, const Node& anchor) {
  Group group = single_node_group(anchor);
  group.inputs.resize(kInputs, nullptr);
  return {group};
}

std::string refuse(const Group& group) {
  if (!onednn::unavailable().empty()) return std::string(onednn::unavailable());
  const Value *x = group.inputs[kX], *w = group.inputs[kWeights], *bias = group.inputs[kBias];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  if (x->shape.size() != 4) return fmt::format("rank {}, not 4", x->shape.size());
  if (!w->constant) return "weights are not constant";
  if (bias && !bias->constant) return "bias is not constant";
  if (w->constant->count() == 0) return "no weights";
  return "";
}

std::vector<FormatChoice> layouts(const Group&) {
  std::vector<FormatChoice> choices;
  for (Layout l : {cpu_features() & kCpuAvx512 ? Layout::kC16 : Layout::kC8, Layout::kNhwc, Layout::kPlain})
    choices.push_back({{l, Layout::kPlain, Layout::kPlain}, {l}});
  return choices;
}

Result<std::unique_ptr<PreparedKernel>> build(const PrepareContext& c) {
  ThreadCountScope threads(c.threads);
  const auto& attrs = c.group.nodes[0]->as<ConvTransposeAttrs>();
  const auto &x = c.inputs[kX].shape, &y = c.outputs[0].shape, &w = c.inputs[kWeights].shape;
  if (element_count(x).value_or(0) == 0 || element_count(y).value_or(0) == 0) return unsupported("nothing to compute");
  FOVEA_TRY_SET(Windows windows, conv_transpose_windows(attrs, x, w));
  memory::dims strides, dilations, begin, end;
  for (int i = 0; i < 2; ++i) {
    const Window& a = windows.axis(i);
    if (a.pad_begin < 0 || a.pad_end < 0) return unsupported("negative padding");
    strides.push_back(a.stride), dilations.push_back(a.dilation - 1), begin.push_back(a.pad_begin),
        end.push_back(a.pad_end);
  }
  // ONNX has input channels first, oneDNN names output channels first.
  using tag = memory::format_tag;
  const int64_t g = attrs.group;
  const memory::dims weight_dims =
      g > 1 ? memory::dims{g, w[1], w[0] / g, w[2], w[3]} : memory::dims{w[1], w[0], w[2], w[3]};
  const memory::desc plain(weight_dims, memory::data_type::f32, g > 1 ? tag::giohw : tag::iohw);
  const bool biased = c.inputs[kBias].dtype != DType::kUndefined;
  const memory::desc bias = biased ? onednn::desc_of(c.inputs[kBias].shape, Layout::kPlain) : memory::desc();
  dnnl::deconvolution_forward::desc d(dnnl::prop_kind::forward_inference, dnnl::algorithm::deconvolution_direct,
                                      onednn::desc_of(c.inputs[kX]), onednn::any_desc(weight_dims), bias,
                                      onednn::desc_of(c.outputs[0]), strides, dilations, begin, end);
  dnnl::deconvolution_forward::primitive_desc pd(d, onednn::attributes(), onednn::engine());
  FOVEA_TRY(onednn::select_implementation(pd, ""));
  onednn::PrimitiveKernel::Parts p;
  p.primitive = dnnl::deconvolution_forward(pd);
  p.threads = c.threads, p.scratchpad = pd.scratchpad_desc(), p.detail = pd.impl_info_str();
  p.arguments.push_back({.index = DNNL_ARG_SRC, .input = kX, .desc = pd.src_desc()});
  p.arguments.push_back({.index = DNNL_ARG_DST, .output = 0, .desc = pd.dst_desc()});
  FOVEA_TRY_SET(auto weights, onednn::pack(*c.weights, c.inputs[kWeights].constant, plain, pd.weights_desc()));
  p.arguments.push_back({.index = DNNL_ARG_WEIGHTS, .constant = std::move(weights)});
  if (biased) {
    FOVEA_TRY_SET(auto packed, onednn::pack(*c.weights, c.inputs[kBias].constant, pd.bias_desc(), pd.bias_desc()));
    p.arguments.push_back({.index = DNNL_ARG_BIAS, .constant = std::move(packed)});
  }
  return std::unique_ptr<PreparedKernel>(std::make_unique<onednn::PrimitiveKernel>(std::move(p)));
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  return onednn::guarded([&] { return build(c); });
}

}  // namespace

const KernelRow kernel_onednn_conv_transpose = {.name = "onednn_conv_transpose",
                                                .op = "ConvTranspose",
                                                .features = kCpuAvx2,
                                                .match = match,
                                                .refuse = refuse,
                                                .formats = layouts,
                                                .prepare = prepare,
                                                .preference = 2};

}  // namespace fovea::core
