// Conv: every output channel is a sum over windows of its group's input channels, times weights, plus a bias.
#include "ops/conv.h"

#include "ops/op.h"

namespace fovea::core {
namespace {

Status check_types(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)), "a floating-point type"));
  for (size_t i = 1; i < c.input_count(); ++i)
    if (c.has(i))
      FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == c.dtype(0), fmt::format("{} as input 0", to_string(c.dtype(0)))));
  return {};
}

Status check_channels(InferContext& c, int64_t group) {
  const Dim &channels = c.shape(0)[1], &outputs = c.shape(1)[0], &group_channels = c.shape(1)[1];
  constexpr int64_t kMostGroups = int64_t{1} << 28;  // as many channels as memory holds; products do not overflow
  if (group < 1 || group > kMostGroups)
    return c.error(fmt::format("attribute 'group': expected 1 to {}, found {}", kMostGroups, group));
  if (outputs.is_const() && outputs.int_value() > 0 && group > outputs.int_value())
    return c.error(fmt::format("{} groups of {} output channels", group, outputs.str()));
  if (channels.is_const() && group_channels.is_const() && !(channels == group_channels * Dim(group)))
    return c.error(fmt::format("{} input channels, but the weights {} have {} in each of {} groups", channels.str(),
                               to_string(c.shape(1)), group_channels.str(), group));
  if (outputs.is_const() && outputs.int_value() % group != 0)
    return c.error(fmt::format("{} output channels cannot be split into {} groups", outputs.str(), group));
  if (c.has(2)) {
    FOVEA_TRY(c.expect_rank(2, 1));
    const Dim& bias = c.shape(2)[0];
    if (bias.is_const() && outputs.is_const() && !(bias == outputs))
      return c.error(fmt::format("a bias of {} for {} output channels", bias.str(), outputs.str()));
  }
  return {};
}

Status infer(InferContext& c) {
  const auto& attrs = c.attrs<ConvAttrs>();
  FOVEA_TRY(check_types(c));
  if (c.rank(0) < 3)
    return c.error(fmt::format("input 0: expected [n, c, spatial...], found {}", to_string(c.shape(0))));
  FOVEA_TRY(c.expect_rank(1, c.rank(0)));
  const size_t spatial = c.shape(0).size() - 2;
  FOVEA_TRY(check_window(attrs, spatial).in(c.node().label()));
  FOVEA_TRY(check_channels(c, attrs.group));
  Shape y = {c.shape(0)[0], c.shape(1)[0]};
  for (size_t i = 0; i < spatial; ++i) {
    y.push_back(window_output(attrs, false, i, c.shape(0)[i + 2], c.shape(1)[i + 2]));
    if (y.back().hi() < 0 || y.back().is_const(0))
      return c.error(fmt::format("a kernel of {} does not fit into the input {} along spatial axis {}",
                                 to_string(c.shape(1)), to_string(c.shape(0)), i));
  }
  c.set_output(0, c.dtype(0), std::move(y));
  return {};
}

// kernel_shape repeats what the weights' shape says.
Status check_kernel_shape(ImportContext& c, const Shape& w) {
  const auto kernel = c.ints_attr("kernel_shape");
  if (kernel.empty()) return {};
  bool same = kernel.size() + 2 == w.size();
  for (size_t i = 0; same && i < kernel.size(); ++i) same = !w[i + 2].is_const() || w[i + 2].int_value() == kernel[i];
  return same ? Status()
              : c.error(fmt::format("kernel_shape [{}] is not that of the weights {}", fmt::join(kernel, ","),
                                    to_string(w)));
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(ConvAttrs attrs, c.read<ConvAttrs>({"kernel_shape"}));
  if (!c.input(0) || !c.input(1)) return c.error("expected an input and weights");
  const Shape &x = c.input(0)->shape, &w = c.input(1)->shape;
  if (x.size() < 3 || w.size() != x.size())
    return c.error(fmt::format("expected [n, c, spatial...] and weights of the same rank, found {} and {}",
                               to_string(x), to_string(w)));
  FOVEA_TRY(check_kernel_shape(c, w));
  complete_window(attrs, x.size() - 2, std::span(x).subspan(2), std::span(w).subspan(2));
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(std::move(attrs)), c.node().inputs));
  c.set_output(0, node->output());
  return {};
}

}  // namespace

Result<Windows> conv_windows(const ConvAttrs& attrs, std::span<const int64_t> x, std::span<const int64_t> w) {
  if (x.size() != w.size() || x.size() != attrs.strides.size() + 2)
    return internal_error("convolution of rank {} with weights of rank {}", x.size(), w.size());
  if (x[1] != w[1] * attrs.group || w[0] % attrs.group != 0)
    return invalid_argument("{} input channels do not fit weights [{}] in {} groups", x[1], fmt::join(w, ","),
                            attrs.group);
  Windows windows;
  windows.spatial = static_cast<int>(x.size()) - 2;
  for (int i = 0; i < windows.spatial; ++i) {
    windows.axis(i).in = x[static_cast<size_t>(i) + 2];
    windows.axis(i).kernel = w[static_cast<size_t>(i) + 2];
  }
  FOVEA_TRY(place_windows(attrs, false, windows));
  return windows;
}

const OpDef op_Conv = {
    .info = {.name = "Conv", .min_inputs = 2, .max_inputs = 3, .attrs = attrs_codec<ConvAttrs>(), .infer = infer},
    .onnx = {"Conv"},
    .import = import,
};

}  // namespace fovea::core
