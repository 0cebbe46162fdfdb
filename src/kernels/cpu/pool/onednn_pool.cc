// Pools by oneDNN. It has fast implementations only where input and output lie in the same layout, and quietly falls
// back to loops a thousand times slower elsewhere: those are refused.
#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/table.h"
#include "ops/pool.h"
#include "ops/reduce.h"

namespace fovea::core {
namespace {

using dnnl::algorithm;
using dnnl::memory;

std::string refuse_pool(const Group& group, const PoolAttrs& attrs) {
  if (!onednn::unavailable().empty()) return std::string(onednn::unavailable());
  const Value* x = group.inputs[0];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  if (x->shape.size() != 4) return fmt::format("rank {}, not 4", x->shape.size());
  if (std::ranges::any_of(attrs.pads, [](int64_t p) { return p < 0; })) return "negative padding";
  if (std::ranges::any_of(attrs.dilations, [](int64_t d) { return d != 1; })) return "dilations";
  return "";
}

std::string refuse_max(const Group& group) {
  if (group.outputs.size() > 1 && group.outputs[1]) return "indices are wanted";
  return refuse_pool(group, group.nodes[0]->as<MaxPoolAttrs>());
}
std::string refuse_average(const Group& group) { return refuse_pool(group, group.nodes[0]->as<AveragePoolAttrs>()); }

std::vector<FormatChoice> layouts(const Group& group) {
  std::vector<FormatChoice> choices;
  for (Layout l : {cpu_features() & kCpuAvx512 ? Layout::kC16 : Layout::kC8, Layout::kNhwc, Layout::kPlain})
    choices.push_back({{l}, std::vector<Format>(group.outputs.size(), l)});
  return choices;
}

// Is there an output whose window would reach past the padding that the attributes give (rounding up)?
bool reaches_past_padding(const Window& a, int64_t pad_end) {
  return (a.out - 1) * a.stride + a.kernel > a.in + a.pad_begin + pad_end;
}

Result<std::unique_ptr<PreparedKernel>> finish(const PrepareContext& c, const dnnl::pooling_v2_forward::desc& d) {
  dnnl::pooling_v2_forward::primitive_desc pd(d, onednn::attributes(), onednn::engine());
  FOVEA_TRY(onednn::select_implementation(pd, ""));
  onednn::PrimitiveKernel::Parts p;
  p.primitive = dnnl::pooling_v2_forward(pd);
  p.threads = c.threads, p.scratchpad = pd.scratchpad_desc(), p.detail = pd.impl_info_str();
  p.arguments.push_back({.index = DNNL_ARG_SRC, .input = 0, .desc = pd.src_desc()});
  p.arguments.push_back({.index = DNNL_ARG_DST, .output = 0, .desc = pd.dst_desc()});
  return std::unique_ptr<PreparedKernel>(std::make_unique<onednn::PrimitiveKernel>(std::move(p)));
}

Result<std::unique_ptr<PreparedKernel>> build(const PrepareContext& c, const PoolAttrs& attrs, algorithm a,
                                              bool divides_by_padding) {
  ThreadCountScope threads(c.threads);
  const auto &x = c.inputs[0].shape, &y = c.outputs[0].shape;
  if (element_count(x).value_or(0) == 0 || element_count(y).value_or(0) == 0) return unsupported("nothing to compute");
  FOVEA_TRY_SET(Windows windows, pool_windows(attrs, x));
  memory::dims strides, kernel, dilation, begin, end;
  for (int i = 0; i < 2; ++i) {
    const Window& w = windows.axis(i);
    if (w.pad_begin < 0 || w.pad_end < 0) return unsupported("negative padding");
    if (w.pad_begin >= w.kernel) return unsupported("windows that lie in the padding altogether");
    if (divides_by_padding && reaches_past_padding(w, w.pad_end))
      return unsupported("rounding up while padding counts: the last window's divisor differs");
    // Rounding up is more padding at the end.
    const int64_t needed = (w.out - 1) * w.stride + w.kernel - w.in - w.pad_begin;
    if (needed >= w.kernel) return unsupported("windows that lie in the padding altogether");
    strides.push_back(w.stride), kernel.push_back(w.kernel), dilation.push_back(0);
    begin.push_back(w.pad_begin), end.push_back(std::max(needed, w.pad_end));
    // A size that more padding would change is one that oneDNN cannot be told.
    if ((w.in + begin.back() + end.back() - w.kernel) / w.stride + 1 != w.out)
      end.back() = std::max<int64_t>(needed, 0);
  }
  dnnl::pooling_v2_forward::desc d(dnnl::prop_kind::forward_inference, a, onednn::desc_of(c.inputs[0]),
                                   onednn::desc_of(c.outputs[0]), strides, kernel, dilation, begin, end);
  return finish(c, d);
}

// ---- means and maxima over both spatial axes: a pool with one window

std::string refuse_global(const Group& group) {
  if (!onednn::unavailable().empty()) return std::string(onednn::unavailable());
  const Value* x = group.inputs[0];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  if (x->shape.size() != 4) return fmt::format("rank {}, not 4", x->shape.size());
  if (group.nodes[0]->as<ReduceAttrs>().axes != std::vector<int64_t>{2, 3}) return "axes other than height and width";
  return "";
}

std::vector<FormatChoice> global_layouts(const Group& group) {
  std::vector<FormatChoice> choices = layouts(group);
  // Without the spatial axes there is nothing to block, but full blocks lie as plain channels do.
  if (group.nodes[0]->as<ReduceAttrs>().keepdims) return choices;
  for (FormatChoice& c : choices) c.outputs[0] = Layout::kPlain;
  const Dim& channels = group.inputs[0]->shape[1];
  if (!channels.is_const() || channels.int_value() % 16 != 0) choices.erase(choices.begin());
  return choices;
}

Result<std::unique_ptr<PreparedKernel>> build_global(const PrepareContext& c, algorithm a) {
  ThreadCountScope threads(c.threads);
  const auto& x = c.inputs[0].shape;
  if (element_count(x).value_or(0) == 0) return unsupported("nothing to compute");
  const memory::desc target = onednn::desc_of(std::vector<int64_t>{x[0], x[1], 1, 1}, c.inputs[0].layout);
  const memory::dims kernel = {x[2], x[3]}, ones = {1, 1}, zeros = {0, 0};
  dnnl::pooling_v2_forward::desc d(dnnl::prop_kind::forward_inference, a, onednn::desc_of(c.inputs[0]), target, ones,
                                   kernel, zeros, zeros, zeros);
  return finish(c, d);
}

Result<std::unique_ptr<PreparedKernel>> prepare_global_mean(const PrepareContext& c) {
  return onednn::guarded([&] { return build_global(c, algorithm::pooling_avg_exclude_padding); });
}
Result<std::unique_ptr<PreparedKernel>> prepare_global_max(const PrepareContext& c) {
  return onednn::guarded([&] { return build_global(c, algorithm::pooling_max); });
}

Result<std::unique_ptr<PreparedKernel>> prepare_max(const PrepareContext& c) {
  return onednn::guarded([&] { return build(c, c.group.nodes[0]->as<MaxPoolAttrs>(), algorithm::pooling_max, false); });
}

Result<std::unique_ptr<PreparedKernel>> prepare_average(const PrepareContext& c) {
  const auto& attrs = c.group.nodes[0]->as<AveragePoolAttrs>();
  const auto a =
      attrs.count_include_pad ? algorithm::pooling_avg_include_padding : algorithm::pooling_avg_exclude_padding;
  return onednn::guarded([&] { return build(c, attrs, a, attrs.count_include_pad); });
}

}  // namespace

const KernelRow kernel_onednn_max_pool = {.name = "onednn_max_pool",
                                          .op = "MaxPool",
                                          .features = kCpuAvx2,
                                          .match = match_node,
                                          .refuse = refuse_max,
                                          .formats = layouts,
                                          .prepare = prepare_max,
                                          .preference = 2};

const KernelRow kernel_onednn_average_pool = {.name = "onednn_average_pool",
                                              .op = "AveragePool",
                                              .features = kCpuAvx2,
                                              .match = match_node,
                                              .refuse = refuse_average,
                                              .formats = layouts,
                                              .prepare = prepare_average,
                                              .preference = 2};

const KernelRow kernel_onednn_global_mean = {.name = "onednn_global_mean",
                                             .op = "ReduceMean",
                                             .features = kCpuAvx2,
                                             .match = match_node,
                                             .refuse = refuse_global,
                                             .formats = global_layouts,
                                             .prepare = prepare_global_mean,
                                             .preference = 2};

const KernelRow kernel_onednn_global_max = {.name = "onednn_global_max",
                                            .op = "ReduceMax",
                                            .features = kCpuAvx2,
                                            .match = match_node,
                                            .refuse = refuse_global,
                                            .formats = global_layouts,
                                            .prepare = prepare_global_max,
                                            .preference = 2};

}  // namespace fovea::core
