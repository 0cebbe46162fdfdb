// Convolution by oneDNN: direct, and Winograd with tiles of 4x4 and 2x2 outputs; bias, residual and activation inside.
// Winograd takes a quarter of the multiplications (4x4) but four times the weights, and its error grows with the
// magnitude of the transforms (tests hold it to that); tactics times them against each other.
#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/cpu/post_ops.h"
#include "kernels/cpu/table.h"
#include "ops/conv.h"

namespace fovea::core {
namespace {

using dnnl::algorithm;
using dnnl::memory;

// Scratch for transformed tiles above this is worth splitting the batch for: the time stays the same.
constexpr int64_t kWinogradScratch = int64_t{32} << 20;

enum Input : size_t { kX, kWeights, kBias, kInputs };

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  return onednn::match_with_tail(graph, anchor, {.inputs = kInputs, .bias = -1, .residual = true});
}

const Dims& weights_dims(const Group& group) { return group.inputs[kWeights]->constant->dims(); }

std::string refuse(const Group& group) {
  if (!onednn::unavailable().empty()) return std::string(onednn::unavailable());
  const Value *x = group.inputs[kX], *w = group.inputs[kWeights], *bias = group.inputs[kBias];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  if (x->shape.size() != 4) return fmt::format("rank {}, not 4", x->shape.size());
  if (!w->constant) return "weights are not constant";
  if (bias && !bias->constant) return "bias is not constant";
  if (w->constant->count() == 0) return "no weights";
  const auto& attrs = group.nodes[0]->as<ConvAttrs>();
  if (std::ranges::any_of(attrs.pads, [](int64_t p) { return p < 0; })) return "negative padding";
  // Windows that lie in the padding: the library walks all of it.
  for (size_t i = 0; i < attrs.pads.size(); ++i)
    if (const size_t axis = i % 2; attrs.pads[i] > (weights_dims(group)[axis + 2] - 1) * attrs.dilations[axis])
      return fmt::format("padding of {} beyond the window", attrs.pads[i]);
  return "";
}

std::string refuse_winograd(const Group& group) {
  if (std::string reason = refuse(group); !reason.empty()) return reason;
  const auto& attrs = group.nodes[0]->as<ConvAttrs>();
  const Dims& w = weights_dims(group);
  auto ones = [](const std::vector<int64_t>& v) { return std::ranges::all_of(v, [](int64_t e) { return e == 1; }); };
  if (w[2] != 3 || w[3] != 3) return fmt::format("kernel {}x{}, not 3x3", w[2], w[3]);
  if (!ones(attrs.strides) || !ones(attrs.dilations) || attrs.group != 1) return "strides, dilations or groups";
  // The transforms cost as much as they save where few channels share them.
  if (w[0] < 32 || w[1] < 32) return fmt::format("{} to {} channels: too few", w[1], w[0]);
  return "";
}

Layout blocked_layout() { return cpu_features() & kCpuAvx512 ? Layout::kC16 : Layout::kC8; }

FormatChoice choice(const Group& group, Layout in, Layout out) {
  FormatChoice c;
  c.inputs.assign(group.inputs.size(), Layout::kPlain);
  c.inputs[kX] = in;
  if (group.residual >= 0) c.inputs[static_cast<size_t>(group.residual)] = out;
  c.outputs = {out};
  return c;
}

std::vector<FormatChoice> winograd_layouts(const Group& group) { return {choice(group, Layout::kC16, Layout::kC16)}; }

std::vector<FormatChoice> direct_layouts(const Group& group) {
  const Dims& w = weights_dims(group);
  const Layout blocked = blocked_layout();
  const int64_t block = blocked == Layout::kC16 ? 16 : 8;
  const int64_t groups = group.nodes[0]->as<ConvAttrs>().group, ic = w[1] * groups, oc = w[0];
  // A first layer reads the picture as it is.
  if (groups == 1 && ic <= 3)
    return {choice(group, Layout::kPlain, blocked), choice(group, Layout::kNhwc, Layout::kNhwc)};
  std::vector<FormatChoice> choices = {choice(group, blocked, blocked)};
  // Blocks of channels that are not full waste memory and time; groups rarely fit them.
  const bool depthwise = groups > 1 && w[1] == 1 && oc == groups;
  if (ic % block != 0 || oc % block != 0 || (groups > 1 && !depthwise))
    choices.push_back(choice(group, Layout::kNhwc, Layout::kNhwc));
  if (groups > 1 && !depthwise) choices.push_back(choice(group, Layout::kPlain, Layout::kPlain));
  return choices;
}

struct Shapes {
  std::vector<int64_t> x, weights, y;  // weights with groups in front where there are several
  memory::dims strides, dilations, pad_begin, pad_end;
};

Result<Shapes> shapes_of(const PrepareContext& c) {
  const auto& attrs = c.group.nodes[0]->as<ConvAttrs>();
  Shapes s;
  s.x = c.inputs[kX].shape, s.y = c.outputs[0].shape, s.weights = c.inputs[kWeights].shape;
  if (element_count(s.x).value_or(0) == 0 || element_count(s.y).value_or(0) == 0)
    return unsupported("nothing to compute");
  FOVEA_TRY_SET(Windows windows, conv_windows(attrs, s.x, s.weights));
  for (int i = 0; i < 2; ++i) {
    const Window& a = windows.axis(i);
    if (a.pad_begin < 0 || a.pad_end < 0) return unsupported("negative padding");
    if (a.out != s.y[static_cast<size_t>(i) + 2])
      return internal_error("convolution to {} where {} was inferred", a.out, s.y[static_cast<size_t>(i) + 2]);
    s.strides.push_back(a.stride), s.dilations.push_back(a.dilation - 1);
    s.pad_begin.push_back(a.pad_begin), s.pad_end.push_back(a.pad_end);
  }
  if (attrs.group > 1) {
    s.weights.insert(s.weights.begin(), attrs.group);
    s.weights[1] /= attrs.group;
  }
  return s;
}

Result<dnnl::convolution_forward::primitive_desc> describe(const PrepareContext& c, const Shapes& s, algorithm a,
                                                           std::string_view implementation, int64_t batch) {
  std::vector<int64_t> x = s.x, y = s.y;
  x[0] = y[0] = batch;
  const memory::desc source = onednn::desc_of(x, c.inputs[kX].layout), target = onednn::desc_of(y, c.outputs[0].layout);
  const memory::desc weights = onednn::any_desc(s.weights);
  const memory::desc bias = c.inputs[kBias].dtype == DType::kUndefined
                                ? memory::desc()
                                : onednn::desc_of(c.inputs[kBias].shape, Layout::kPlain);
  dnnl::primitive_attr attributes = onednn::attributes();
  attributes.set_post_ops(onednn::post_ops_of(c.group));
  dnnl::convolution_forward::desc d(dnnl::prop_kind::forward_inference, a, source, weights, bias, target, s.strides,
                                    s.dilations, s.pad_begin, s.pad_end);
  dnnl::convolution_forward::primitive_desc pd(d, attributes, onednn::engine());
  FOVEA_TRY(onednn::select_implementation(pd, implementation));
  return pd;
}

// The most images in one run whose scratch stays within the limit; a divisor of the batch.
int64_t images_per_run(int64_t batch, int64_t scratch_of_all, int64_t fixed) {
  const int64_t each = std::max<int64_t>(1, (scratch_of_all - fixed) / batch);
  for (int64_t images = batch; images > 1; --images)
    if (batch % images == 0 && images * each <= kWinogradScratch) return images;
  return 1;
}

Result<std::unique_ptr<PreparedKernel>> build(const PrepareContext& c, algorithm a, std::string_view implementation) {
  ThreadCountScope threads(c.threads);
  FOVEA_TRY_SET(Shapes s, shapes_of(c));
  const int64_t batch = s.x[0];
  FOVEA_TRY_SET(auto pd, describe(c, s, a, implementation, batch));
  int64_t images = batch;
  if (a == algorithm::convolution_winograd && batch > 1) {
    // The library counts the transformed weights as scratch, though inference never touches them there.
    images = images_per_run(batch, static_cast<int64_t>(pd.scratchpad_desc().get_size()),
                            static_cast<int64_t>(pd.weights_desc().get_size()));
    if (images < batch) {
      FOVEA_TRY_SET(pd, describe(c, s, a, implementation, images));
    }
  }
  onednn::PrimitiveKernel::Parts p;
  p.primitive = dnnl::convolution_forward(pd);
  p.threads = c.threads, p.chunks = batch / images, p.scratchpad = pd.scratchpad_desc();
  p.detail = p.chunks > 1 ? fmt::format("{}, {} images at a time", pd.impl_info_str(), images) : pd.impl_info_str();
  p.arguments.push_back({.index = DNNL_ARG_SRC,
                         .input = kX,
                         .desc = pd.src_desc(),
                         .step = static_cast<int64_t>(pd.src_desc().get_size())});
  p.arguments.push_back({.index = DNNL_ARG_DST,
                         .output = 0,
                         .desc = pd.dst_desc(),
                         .step = static_cast<int64_t>(pd.dst_desc().get_size())});
  FOVEA_TRY_SET(auto weights, onednn::pack(*c.weights, c.inputs[kWeights].constant,
                                           onednn::desc_of(s.weights, Layout::kPlain), pd.weights_desc()));
  p.arguments.push_back({.index = DNNL_ARG_WEIGHTS, .constant = std::move(weights)});
  if (c.inputs[kBias].dtype != DType::kUndefined) {
    FOVEA_TRY_SET(auto bias, onednn::pack(*c.weights, c.inputs[kBias].constant, pd.bias_desc(), pd.bias_desc()));
    p.arguments.push_back({.index = DNNL_ARG_BIAS, .constant = std::move(bias)});
  }
  p.residual = c.group.residual;
  p.residual_bytes = p.chunks * static_cast<int64_t>(pd.dst_desc().get_size());
  return std::unique_ptr<PreparedKernel>(std::make_unique<onednn::PrimitiveKernel>(std::move(p)));
}

Result<std::unique_ptr<PreparedKernel>> prepare_direct(const PrepareContext& c) {
  return onednn::guarded([&] { return build(c, algorithm::convolution_direct, ""); });
}

template <int tile>
Result<std::unique_ptr<PreparedKernel>> prepare_winograd(const PrepareContext& c) {
  const auto& y = c.outputs[0].shape;
  if (std::min(y[2], y[3]) < 6) return unsupported("outputs of {}x{} are too small for tiles", y[2], y[3]);
  return onednn::guarded(
      [&] { return build(c, algorithm::convolution_winograd, tile == 4 ? "wino_4x3" : "wino_2x3"); });
}

}  // namespace

const KernelRow kernel_onednn_conv_winograd_4x3 = {
    .name = "onednn_conv_winograd_4x3",
    .op = "Conv",
    .features = kCpuAvx512,
    .match = match,
    .refuse = refuse_winograd,
    .formats = winograd_layouts,
    .prepare = prepare_winograd<4>,
    .preference = 3,
};

const KernelRow kernel_onednn_conv_winograd_2x3 = {
    .name = "onednn_conv_winograd_2x3",
    .op = "Conv",
    .features = kCpuAvx512,
    .match = match,
    .refuse = refuse_winograd,
    .formats = winograd_layouts,
    .prepare = prepare_winograd<2>,
    .preference = 2.5,
};

const KernelRow kernel_onednn_conv = {
    .name = "onednn_conv",
    .op = "Conv",
    .features = kCpuAvx2,
    .match = match,
    .refuse = refuse,
    .formats = direct_layouts,
    .prepare = prepare_direct,
    .preference = 2,
};

}  // namespace fovea::core
