// Convolution by cuDNN's graph API: NHWC, channels padded to a multiple of 8, bias, residual and activation inside.
// Several of the library's plans are timed where tactics allows it; which one it was is kept with the recipe.
#include <cudnn_frontend.h>

#include <algorithm>
#include <limits>

#include "kernels/cuda/conv/activation.h"
#include "kernels/cuda/conv/cudnn_plans.h"
#include "kernels/cuda/conv/packing.h"
#include "kernels/tail.h"
#include "ops/activation.h"
#include "ops/conv.h"

namespace fovea::core {
namespace {

using namespace cuda;
namespace fe = cudnn_frontend;

constexpr int64_t kX_ = 1, kW_ = 2, kB_ = 3, kR_ = 4, kY_ = 5;  // cuDNN's ids of the tensors

// ---- what may follow

// cuDNN's ReLU with both bounds is Clip; it has no HardSwish.
bool activation(const Node& node) {
  if (node.is("Clip")) {
    const auto c = clip_bounds(node);
    return c && c->low == 0 && std::isfinite(c->high);
  }
  return node.is("Relu") || node.is("LeakyRelu") || node.is("Sigmoid") || node.is("Tanh") || node.is("Swish");
}

bool keeps_zero(const Node& node) { return !node.is("Sigmoid"); }

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  return match_with_tail(graph, anchor,
                         {.inputs = kConvInputs, .bias = -1, .residual = true, .activation = activation});
}

std::string refuse(const Group& group) {
  if (std::string why = conv_refusal(group); !why.empty()) return why;
  const auto& attrs = group.nodes[0]->as<ConvAttrs>();
  const Dims& d = group.inputs[kWeights]->constant->dims();
  if (std::ranges::any_of(attrs.pads, [](int64_t p) { return p < 0; })) return "negative padding";
  if (attrs.group > 1 && (d[1] * attrs.group % 8 != 0 || d[0] % 8 != 0))
    return fmt::format("{} groups of {} to {} channels: not multiples of 8", attrs.group, d[1] * attrs.group, d[0]);
  if (d[0] % 8 != 0 && !std::all_of(group.nodes.begin() + 1, group.nodes.end(), [](auto* n) { return keeps_zero(*n); }))
    return fmt::format("{} channels are no multiple of 8, and the activation of 0 is not 0", d[0]);
  return "";
}

// ---- the graph

class ConvKernel final : public PreparedKernel {
 public:
  CudnnPlan plan;
  ConvConstants constants;
  int residual = -1;

  Status run(KernelContext& c) const override {
    CudnnTensors tensors = {{kX_, c.in(kX).data}, {kW_, constants.weights.get()}, {kY_, c.out().data}};
    if (constants.bias) tensors[kB_] = constants.bias.get();
    if (residual >= 0) tensors[kR_] = c.in(static_cast<size_t>(residual)).data;
    return plan.execute(stream_of(c), tensors, c.workspace);
  }
  int64_t workspace_bytes() const override { return plan.workspace; }
  std::string detail() const override { return plan.name; }
  std::vector<KernelVariant> over_limit() const override { return plan.over_limit; }
};

fe::DataType_t type_of(DType type) { return type == DType::kFloat16 ? fe::DataType_t::HALF : fe::DataType_t::FLOAT; }

std::shared_ptr<fe::graph::Tensor_attributes> nhwc(fe::graph::Graph& g, const char* name, int64_t id, int64_t n,
                                                   int64_t c, int64_t h, int64_t w, DType type) {
  return g.tensor(fe::graph::Tensor_attributes()
                      .set_name(name)
                      .set_uid(id)
                      .set_dim({n, c, h, w})
                      .set_stride({c * h * w, 1, c * w, c})
                      .set_data_type(type_of(type)));
}

using Attributes = std::shared_ptr<fe::graph::Tensor_attributes>;

Attributes apply(fe::graph::Graph& g, const Node& node, const Attributes& x) {
  fe::graph::Pointwise_attributes a;
  a.set_compute_data_type(fe::DataType_t::FLOAT);
  if (node.is("Relu")) a.set_mode(fe::PointwiseMode_t::RELU_FWD);
  else if (node.is("LeakyRelu"))
    a.set_mode(fe::PointwiseMode_t::RELU_FWD)
        .set_relu_lower_clip_slope(static_cast<float>(node.as<LeakyReluAttrs>().alpha));
  else if (node.is("Clip"))
    a.set_mode(fe::PointwiseMode_t::RELU_FWD).set_relu_lower_clip(0.0f).set_relu_upper_clip(clip_bounds(node)->high);
  else if (node.is("Sigmoid")) a.set_mode(fe::PointwiseMode_t::SIGMOID_FWD);
  else if (node.is("Tanh")) a.set_mode(fe::PointwiseMode_t::TANH_FWD);
  else a.set_mode(fe::PointwiseMode_t::SWISH_FWD).set_swish_beta(static_cast<float>(node.as<AlphaAttrs>().alpha));
  return g.pointwise(x, a);
}

Attributes add(fe::graph::Graph& g, const Attributes& x, const Attributes& y) {
  return g.pointwise(x, y,
                     fe::graph::Pointwise_attributes()
                         .set_mode(fe::PointwiseMode_t::ADD)
                         .set_compute_data_type(fe::DataType_t::FLOAT));
}

struct Shapes {
  int64_t n, c, h, w, k, p, q, r, s, c_per_group;
};

std::shared_ptr<fe::graph::Graph> describe(const PrepareContext& c, const Shapes& d, const Windows& windows) {
  auto g = std::make_shared<fe::graph::Graph>();
  const DType type = c.inputs[kX].dtype;
  g->set_io_data_type(type_of(type))
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  const Attributes x = nhwc(*g, "x", kX_, d.n, d.c, d.h, d.w, type);
  const Attributes w = nhwc(*g, "w", kW_, d.k, d.c_per_group, d.r, d.s, type);
  const Window &a = windows.axis(0), &b = windows.axis(1);
  Attributes y = g->conv_fprop(x, w,
                               fe::graph::Conv_fprop_attributes()
                                   .set_pre_padding({a.pad_begin, b.pad_begin})
                                   .set_post_padding({a.pad_end, b.pad_end})
                                   .set_stride({a.stride, b.stride})
                                   .set_dilation({a.dilation, b.dilation}));
  // Whatever the sizes say that cuDNN would infer, these are the ones.
  y->set_dim({d.n, d.k, d.p, d.q}).set_stride({d.k * d.p * d.q, 1, d.k * d.q, d.k});
  if (c.inputs[kBias].dtype != DType::kUndefined) y = add(*g, y, nhwc(*g, "bias", kB_, 1, d.k, 1, 1, DType::kFloat32));
  for (size_t i = 1; i < c.group.nodes.size(); ++i) {
    const Node& node = *c.group.nodes[i];
    y = node.is("Add") ? add(*g, y, nhwc(*g, "residual", kR_, d.n, d.k, d.p, d.q, type)) : apply(*g, node, y);
  }
  y->set_output(true).set_uid(kY_).set_data_type(type_of(type));
  return g;
}

// The same graph as a text: what two of them differ in stands here.
std::string description(const PrepareContext& c, const Shapes& d, const Windows& windows, bool tensor_cores) {
  std::string text = fmt::format("conv {} x {},{},{},{} w {},{},{},{} y {},{}", to_string(c.inputs[kX].dtype), d.n, d.c,
                                 d.h, d.w, d.k, d.c_per_group, d.r, d.s, d.p, d.q);
  for (int i = 0; i < 2; ++i) {
    const Window& a = windows.axis(i);
    text += fmt::format(" pads {},{} stride {} dilation {}", a.pad_begin, a.pad_end, a.stride, a.dilation);
  }
  if (c.inputs[kBias].dtype != DType::kUndefined) text += " bias";
  for (size_t i = 1; i < c.group.nodes.size(); ++i) {
    const Node& node = *c.group.nodes[i];
    text += fmt::format(" {}", node.op->name);
    if (node.is("LeakyRelu")) text += fmt::format(" {}", node.as<LeakyReluAttrs>().alpha);
    if (node.is("Swish")) text += fmt::format(" {}", node.as<AlphaAttrs>().alpha);
    if (node.is("Clip")) text += fmt::format(" {}", clip_bounds(node)->high);
  }
  return text + (tensor_cores ? " tensor cores" : "");
}

// What plans are timed on, taken when the first one is.
class Trial {
 public:
  Trial(const ConvKernel& kernel, DType type, const Shapes& d)
      : kernel_(kernel), type_(type), x_elements_(d.n * d.c * d.h * d.w), y_elements_(d.n * d.k * d.p * d.q) {}

  Result<double> time(Stream& stream, const CudnnPlan& plan, double best) {
    if (tensors_.empty()) FOVEA_TRY(set_up(stream));
    // A residual in place adds up run by run: every plan starts from the same numbers.
    if (kernel_.residual >= 0) FOVEA_TRY(fill_random(stream, type_, y_));
    return time_runs(stream, best, [&] { return plan.execute(stream, tensors_, workspace_.data()); });
  }

 private:
  Status set_up(Stream& stream) {
    FOVEA_TRY_SET(x_, random_memory(stream, type_, x_elements_));
    FOVEA_TRY_SET(y_, random_memory(stream, type_, y_elements_));
    FOVEA_TRY_SET(workspace_, stream.device().allocate(kMostCudnnWorkspace, DeviceMemory::Kind::kDevice));
    tensors_ = {{kX_, x_.data()}, {kW_, kernel_.constants.weights.get()}, {kY_, y_.data()}};
    if (kernel_.constants.bias) tensors_[kB_] = kernel_.constants.bias.get();
    if (kernel_.residual >= 0) tensors_[kR_] = y_.data();
    return {};
  }

  const ConvKernel& kernel_;
  DType type_;
  int64_t x_elements_, y_elements_;
  DeviceMemory x_, y_, workspace_;
  CudnnTensors tensors_;
};

struct Wanted {
  Shapes shapes;
  CudnnTask task;
};

Result<Wanted> wanted(const PrepareContext& c) {
  const auto& attrs = c.group.nodes[0]->as<ConvAttrs>();
  const std::vector<int64_t>&x = c.inputs[kX].shape, &y = c.outputs[0].shape, &w = c.inputs[kWeights].shape;
  if (element_count(x).value_or(0) == 0 || element_count(y).value_or(0) == 0) return unsupported("nothing to compute");
  const Shapes d{x[0], padded(x[1]), x[2], x[3], padded(y[1]),
                 y[2], y[3],         w[2], w[3], attrs.group > 1 ? w[1] : padded(w[1])};
  FOVEA_TRY_SET(const Windows windows, conv_windows(attrs, x, w));
  const bool tensor_cores = c.inputs[kX].dtype != DType::kFloat32 || c.group.outputs[0]->storage.tf32;
  CudnnTask task{.graph = describe(c, d, windows),
                 .description = description(c, d, windows, tensor_cores),
                 .tensors = {kX_, kW_},
                 .tensor_cores = tensor_cores,
                 .variant = c.variant,
                 .workspace_limit = c.workspace_limit,
                 .tune = c.tune};
  if (c.inputs[kBias].dtype != DType::kUndefined) task.tensors.push_back(kB_);
  if (c.group.residual >= 0) task.tensors.push_back(kR_);
  task.tensors.push_back(kY_);
  return Wanted{d, std::move(task)};
}

void prebuild(const PrepareContext& c) {
  if (const auto w = wanted(c); w.ok()) prebuild_plans(device_of(c), w->task);
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  FOVEA_TRY_SET(Wanted w, wanted(c));
  auto kernel = std::make_unique<ConvKernel>();
  kernel->residual = c.group.residual;
  FOVEA_TRY_SET(kernel->constants, pack_conv(c, DType::kFloat32));
  Trial trial(*kernel, c.inputs[kX].dtype, w.shapes);
  w.task.time = [&](Stream& stream, const CudnnPlan& plan, double best) { return trial.time(stream, plan, best); };
  FOVEA_TRY_SET(kernel->plan, find_plan(device_of(c), w.task));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_cudnn_conv = {.name = "cudnn_conv",
                                     .op = "Conv",
                                     .limits_workspace = true,
                                     .place = Place::kDevice,
                                     .match = match,
                                     .refuse = refuse,
                                     .formats = conv_formats,
                                     .prepare = prepare,
                                     .prebuild = prebuild};

}  // namespace fovea::core
