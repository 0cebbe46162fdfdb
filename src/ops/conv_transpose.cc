// ConvTranspose: the transpose of a convolution as a linear map: every input adds its weights to a window of outputs.
#include "ops/conv_transpose.h"

#include "ops/op.h"

namespace fovea::core {
namespace {

Status check_channels(InferContext& c, int64_t group) {
  const Dim &channels = c.shape(0)[1], &weight_channels = c.shape(1)[0];
  if (group < 1 || group > (int64_t{1} << 28)) return c.error(fmt::format("attribute 'group': found {}", group));
  if (channels.is_const() && weight_channels.is_const() && !(channels == weight_channels))
    return c.error(fmt::format("{} input channels, but weights {}", channels.str(), to_string(c.shape(1))));
  if (weight_channels.is_const() && weight_channels.int_value() % group != 0)
    return c.error(fmt::format("{} input channels cannot be split into {} groups", weight_channels.str(), group));
  return check_conv_bias(c, c.shape(1)[1] * Dim(group));
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ConvTransposeAttrs>();
  FOVEA_TRY(check_conv_types(c));
  if (c.rank(0) < 3)
    return c.error(fmt::format("input 0: expected [n, c, spatial...], found {}", to_string(c.shape(0))));
  FOVEA_TRY(c.expect_rank(1, c.rank(0)));
  const size_t spatial = c.shape(0).size() - 2;
  FOVEA_TRY(check_window(attrs, spatial).in(c.node().label()));
  FOVEA_TRY(check_extents("output_padding", attrs.output_padding, spatial, 0).in(c.node().label()));
  if (!attrs.output_shape.empty())
    FOVEA_TRY(check_extents("output_shape", attrs.output_shape, spatial, 0).in(c.node().label()));
  FOVEA_TRY(check_channels(c, attrs.group));
  Shape y = {c.shape(0)[0], c.shape(1)[1] * Dim(attrs.group)};
  for (size_t i = 0; i < spatial; ++i) {
    if (!attrs.output_shape.empty()) {
      y.push_back(attrs.output_shape[i]);
      continue;
    }
    const Dim extent = (c.shape(1)[i + 2] - 1) * Dim(attrs.dilations[i]) + 1;
    y.push_back((c.shape(0)[i + 2] - 1) * Dim(attrs.strides[i]) + extent + Dim(attrs.output_padding[i]) -
                Dim(attrs.pads[i]) - Dim(attrs.pads[i + spatial]));
  }
  c.set_output(0, c.dtype(0), std::move(y));
  return {};
}

// What is cut off so that `out` outputs are left of all that the inputs reach.
int64_t surplus(const ConvTransposeAttrs& attrs, size_t i, int64_t in, int64_t kernel, int64_t out) {
  return (in - 1) * attrs.strides[i] + attrs.output_padding[i] + (kernel - 1) * attrs.dilations[i] + 1 - out;
}

// auto_pad asks for in * stride outputs: whatever the size of the input, the same is cut off.
Status resolve_same(ImportContext& c, ConvTransposeAttrs& attrs, const Shape& w) {
  const size_t spatial = w.size() - 2;
  for (size_t i = 0; i < spatial; ++i) {
    if (!w[i + 2].is_const()) return c.unsupported("auto_pad with weights of unknown size");
    if (w[i + 2].int_value() > (int64_t{1} << 24)) return c.error(fmt::format("weights {}", to_string(w)));
    const int64_t total = std::max<int64_t>(0, surplus(attrs, i, 0, w[i + 2].int_value(), 0));
    split_padding(total, attrs.auto_pad == AutoPad::kSameUpper, attrs.pads[i], attrs.pads[i + spatial]);
  }
  attrs.auto_pad = AutoPad::kNotSet;
  return {};
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(ConvTransposeAttrs attrs, c.read<ConvTransposeAttrs>({"kernel_shape"}));
  if (!c.input(0) || !c.input(1)) return c.error("expected an input and weights");
  const Shape &x = c.input(0)->shape, &w = c.input(1)->shape;
  if (x.size() < 3 || w.size() != x.size())
    return c.error(fmt::format("expected [n, c, spatial...] and weights of the same rank, found {} and {}",
                               to_string(x), to_string(w)));
  const size_t spatial = x.size() - 2;
  if (attrs.strides.empty()) attrs.strides.assign(spatial, 1);
  if (attrs.dilations.empty()) attrs.dilations.assign(spatial, 1);
  if (attrs.output_padding.empty()) attrs.output_padding.assign(spatial, 0);
  if (attrs.pads.empty() || attrs.auto_pad != AutoPad::kNotSet || !attrs.output_shape.empty())
    attrs.pads.assign(2 * spatial, 0);
  if (attrs.auto_pad == AutoPad::kValid) attrs.auto_pad = AutoPad::kNotSet;
  // Some exporters give the whole shape.
  if (attrs.output_shape.size() == spatial + 2)
    attrs.output_shape.erase(attrs.output_shape.begin(), attrs.output_shape.begin() + 2);
  FOVEA_TRY(check_window(attrs, spatial).in(c.label()));
  FOVEA_TRY(check_extents("output_padding", attrs.output_padding, spatial, 0).in(c.label()));
  if (attrs.auto_pad != AutoPad::kNotSet && attrs.output_shape.empty()) FOVEA_TRY(resolve_same(c, attrs, w));
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(std::move(attrs)), c.node().inputs));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

Result<Windows> conv_transpose_windows(const ConvTransposeAttrs& attrs, std::span<const int64_t> x,
                                       std::span<const int64_t> w) {
  if (x.size() != w.size() || x.size() != attrs.strides.size() + 2)
    return internal_error("convolution of rank {} with weights of rank {}", x.size(), w.size());
  if (x[1] != w[0] || x[1] % attrs.group != 0)
    return invalid_argument("{} input channels do not fit weights [{}] in {} groups", x[1], fmt::join(w, ","),
                            attrs.group);
  Windows windows;
  windows.spatial = static_cast<int>(x.size()) - 2;
  const auto spatial = static_cast<size_t>(windows.spatial);
  for (size_t i = 0; i < spatial; ++i) {
    Window& a = windows.axis(static_cast<int>(i));
    a.in = x[i + 2], a.kernel = w[i + 2], a.stride = attrs.strides[i], a.dilation = attrs.dilations[i];
    a.pad_begin = attrs.pads[i], a.pad_end = attrs.pads[i + spatial];
    if (attrs.output_shape.empty()) {
      a.out = surplus(attrs, i, a.in, a.kernel, a.pad_begin + a.pad_end);
    } else {
      a.out = attrs.output_shape[i];
      const int64_t total = surplus(attrs, i, a.in, a.kernel, a.out);
      // Fewer than a stride of outputs that no input reaches may follow, as with output_padding.
      if (-total >= a.stride)
        return invalid_argument("output_shape {} along spatial axis {} is more than {} inputs reach", a.out, i, a.in);
      split_padding(std::max<int64_t>(0, total), attrs.auto_pad == AutoPad::kSameUpper, a.pad_begin, a.pad_end);
    }
    if (a.out < 0) return invalid_argument("{} inputs along spatial axis {} leave {} outputs", a.in, i, a.out);
  }
  return windows;
}

const OpDef op_ConvTranspose = {
    .info = {.name = "ConvTranspose",
             .min_inputs = 2,
             .max_inputs = 3,
             .attrs = attrs_codec<ConvTransposeAttrs>(),
             .infer = infer},
    .onnx = {"ConvTranspose"},
    .import = import,
};

}  // namespace fovea::core
