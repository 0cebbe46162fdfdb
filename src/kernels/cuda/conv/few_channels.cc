// Convolution of at most four input channels, a network's first: the library's takes many times what its bytes take.
// Reads plain NCHW, so that a picture needs no other layout, and writes NHWC8; an activation and a max-pool go inside.
#include "kernels/cuda/conv/few_channels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cuda/common.h"
#include "kernels/cuda/conv/activation.h"
#include "kernels/cuda/conv/few_channels_plan.h"
#include "kernels/tail.h"
#include "ops/activation.h"
#include "ops/conv.h"
#include "ops/pool.h"

namespace fovea::core {
namespace {

using namespace cuda;

enum Input : size_t { kX, kWeights, kBias, kInputs };

bool activation(const Node& node) {
  if (node.is("Clip")) return clip_bounds(node).has_value();
  for (const char* name : {"Relu", "LeakyRelu", "Sigmoid", "Tanh", "Swish", "HardSwish"})
    if (node.is(name)) return true;
  return false;
}

// With the max-pool that follows, where nothing else sees what it reads.
std::vector<Group> match(const Graph& graph, const Node& anchor) {
  std::vector<Group> groups =
      match_with_tail(graph, anchor, {.inputs = kInputs, .bias = -1, .residual = false, .activation = activation});
  const Node* next = only_user(graph, groups[0].outputs[0]);
  if (!next || !next->is("MaxPool") || (next->outputs.size() > 1 && next->outputs[1])) return groups;
  Group pooled = groups[0];
  pooled.nodes.push_back(next);
  pooled.outputs = {next->output()};
  groups.insert(groups.begin(), std::move(pooled));
  return groups;
}

const Node* pool_of(const Group& group) { return group.nodes.back()->is("MaxPool") ? group.nodes.back() : nullptr; }

std::string refuse_window(const WindowAttrs& attrs) {
  if (std::ranges::any_of(attrs.dilations, [](int64_t v) { return v != 1; })) return "dilated";
  if (std::ranges::any_of(attrs.pads, [](int64_t p) { return p < 0; })) return "negatively padded";
  return "";
}

bool all_half(const Group& group) { return may_be_half(*group.inputs[kX]) && may_be_half(*group.outputs[0]); }

std::string refuse(const Group& group) {
  const Value *x = group.inputs[kX], *w = group.inputs[kWeights], *bias = group.inputs[kBias];
  if (x->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(x->dtype));
  if (x->shape.size() != 4) return fmt::format("rank {}, not 4", x->shape.size());
  if (!w->constant) return "weights are not constant";
  if (bias && !bias->constant) return "bias is not constant";
  if (w->constant->count() == 0) return "no weights";
  const auto& attrs = group.nodes[0]->as<ConvAttrs>();
  const Dims& d = w->constant->dims();
  if (attrs.group != 1) return fmt::format("{} groups, not 1", attrs.group);
  if (d[1] > kFewChannels) return fmt::format("{} input channels, more than {}", d[1], kFewChannels);
  if (std::string why = refuse_window(attrs); !why.empty()) return why;
  if (const Node* pool = pool_of(group))
    if (std::string why = refuse_window(pool->as<MaxPoolAttrs>()); !why.empty()) return "a pool that is " + why;
  if (!all_half(group) && !group.outputs[0]->storage.tf32) return "full float32: it multiplies in float16 or TF32";
  return "";
}

std::vector<FormatChoice> formats(const Group& group) {
  auto choice = [&](const Format& x, const Format& y) {
    FormatChoice c;
    c.inputs.assign(group.inputs.size(), kHost);
    c.inputs[kX] = x;
    c.outputs = {y};
    return c;
  };
  if (!all_half(group)) return {choice(kPlain, kNhwc8)};
  return {choice(kPlain, half(kNhwc8)), choice(half(kPlain), half(kNhwc8))};
}

// ---- what the kernel is told

void describe_activation(const Node& node, FewChannelsArgs& a) {
  a.activate = Activate::kClip, a.low = 0, a.high = std::numeric_limits<float>::infinity();
  if (node.is("Clip")) a.low = clip_bounds(node)->low, a.high = clip_bounds(node)->high;
  if (node.is("LeakyRelu"))
    a.activate = Activate::kLeakyRelu, a.low = static_cast<float>(node.as<LeakyReluAttrs>().alpha);
  if (node.is("Swish")) a.activate = Activate::kSwish, a.low = static_cast<float>(node.as<AlphaAttrs>().alpha);
  if (node.is("Sigmoid")) a.activate = Activate::kSigmoid;
  if (node.is("Tanh")) a.activate = Activate::kTanh;
  if (node.is("HardSwish")) a.activate = Activate::kHardSwish;
}

int small(int64_t size) { return static_cast<int>(size); }

Status check_sizes(const Windows& windows) {
  constexpr int64_t kMost = 64, kFar = 1 << 20;
  for (int i = 0; i < 2; ++i) {
    const Window& w = windows.axis(i);
    if (std::max(w.kernel, w.stride) > kMost)
      return unsupported("a window of {} or a stride of {}, more than {}", w.kernel, w.stride, kMost);
    if (std::max({w.in, w.out, w.pad_begin}) > kFar) return unsupported("a size of more than {}", kFar);
  }
  return {};
}

Status describe_pool(const Node& node, FewChannelsArgs& a) {
  FOVEA_TRY_SET(Windows windows, pool_windows(node.as<MaxPoolAttrs>(), std::array<int64_t, 4>{a.n, a.k, a.p, a.q}));
  FOVEA_TRY(check_sizes(windows));
  const Window &v = windows.axis(0), &u = windows.axis(1);
  a.pooled = true, a.out_h = small(v.out), a.out_w = small(u.out);
  a.pool_h = small(v.kernel), a.pool_w = small(u.kernel);
  a.pool_stride_h = small(v.stride), a.pool_stride_w = small(u.stride);
  a.pool_top = small(v.pad_begin), a.pool_left = small(u.pad_begin);
  return {};
}

Status describe_windows(const PrepareContext& c, FewChannelsArgs& a) {
  const std::vector<int64_t>&x = c.inputs[kX].shape, &w = c.inputs[kWeights].shape, &y = c.outputs[0].shape;
  FOVEA_TRY_SET(Windows windows, conv_windows(c.group.nodes[0]->as<ConvAttrs>(), x, w));
  FOVEA_TRY(check_sizes(windows));
  const Window &v = windows.axis(0), &u = windows.axis(1);
  if (x[1] * x[2] * x[3] > std::numeric_limits<int>::max() || std::max(x[0], w[0]) > 1 << 20)
    return unsupported("pictures too large");
  a.n = small(x[0]), a.c = small(x[1]), a.h = small(x[2]), a.w = small(x[3]), a.k = small(w[0]);
  a.p = a.out_h = small(v.out), a.q = a.out_w = small(u.out), a.r = small(v.kernel), a.s = small(u.kernel);
  a.stride_h = small(v.stride), a.stride_w = small(u.stride);
  a.pad_top = small(v.pad_begin), a.pad_left = small(u.pad_begin);
  if (const Node* pool = pool_of(c.group)) FOVEA_TRY(describe_pool(*pool, a));
  if (a.out_h != y[2] || a.out_w != y[3])
    return internal_error("a convolution to {}x{} where {}x{} was inferred", a.out_h, a.out_w, y[2], y[3]);
  return {};
}

// ---- weights

// As TF32 has it: 10 bits behind the point, halves away from zero.
uint32_t rounded_to_tf32(float v) { return (std::bit_cast<uint32_t>(v) + 0x1000u) & 0xffffe000u; }

Result<std::shared_ptr<void>> upload_factors(const PrepareContext& c, const std::string& key, bool to_half,
                                             const std::vector<float>& factors) {
  std::vector<Half> halves;
  std::vector<uint32_t> words;
  for (float v : factors) {
    if (to_half) halves.emplace_back(v);
    else words.push_back(rounded_to_tf32(v));
    if (!std::isfinite(to_half ? static_cast<float>(halves.back()) : std::bit_cast<float>(words.back())))
      return unsupported("a weight of {} does not fit into {}", v, to_half ? "float16" : "TF32");
  }
  if (to_half) return upload(c, key, halves.data(), static_cast<int64_t>(halves.size()) * 2);
  return upload(c, key, words.data(), static_cast<int64_t>(words.size()) * 4);
}

class FewChannelsKernel final : public PreparedKernel {
 public:
  FewChannelsArgs args;
  int blocks = 1;
  std::shared_ptr<void> weights, bias;
  TensorPtr weights_owner, bias_owner;  // whose addresses name the packed ones

  Status run(KernelContext& c) const override {
    FewChannelsArgs a = args;
    a.from = c.in(kX).data, a.to = c.out().data;
    return check(few_channels_conv(a, blocks, handle_of(c)), "few_channels_conv");
  }
};

Status pack(const PrepareContext& c, FewChannelsKernel& kernel) {
  FewChannelsArgs& a = kernel.args;
  kernel.weights_owner = c.inputs[kWeights].constant, kernel.bias_owner = c.inputs[kBias].constant;
  const std::string key = fmt::format("cuda few channels {} {}", static_cast<const void*>(kernel.weights_owner.get()),
                                      a.half ? "float16" : "tf32");
  kernel.weights = c.weights->find(key);
  if (!kernel.weights) {
    const auto* w = reinterpret_cast<const float*>(kernel.weights_owner->bytes().data());
    FOVEA_TRY_SET(kernel.weights, upload_factors(c, key, a.half, packed_fragments(a, w)));
  }
  std::vector<float> bias(static_cast<size_t>(a.groups * a.eights * 8), 0.0f);
  if (kernel.bias_owner) std::memcpy(bias.data(), kernel.bias_owner->bytes().data(), kernel.bias_owner->bytes().size());
  FOVEA_TRY_SET(kernel.bias,
                upload(c, fmt::format("{} bias {}", key, static_cast<const void*>(kernel.bias_owner.get())),
                       bias.data(), static_cast<int64_t>(bias.size()) * 4));
  a.weights = kernel.weights.get(), a.bias = static_cast<const float*>(kernel.bias.get());
  return {};
}

// As many blocks as there is room for at a time; of those that wait for the last tile, none.
Status choose_blocks(const Properties& device, FewChannelsKernel& kernel) {
  const FewChannelsArgs& a = kernel.args;
  const int64_t tiles = static_cast<int64_t>(a.n) * a.tiles_y * a.tiles_x;
  if (tiles > std::numeric_limits<int>::max() / 2) return unsupported("{} tiles, more than a launch has", tiles);
  int resident = 0;
  FOVEA_CUDA(few_channels_blocks(a, device.shared_bytes_per_block, &resident));
  if (resident < 1) return unsupported("a block of it does not fit on a multiprocessor");
  const int64_t room = std::max<int64_t>(1, static_cast<int64_t>(resident) * device.multiprocessors / a.groups);
  const int64_t each = (tiles + room - 1) / room;
  kernel.blocks = static_cast<int>((tiles + each - 1) / each);
  return {};
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  if (element_count(c.inputs[kX].shape).value_or(0) == 0 || element_count(c.outputs[0].shape).value_or(0) == 0)
    return unsupported("nothing to compute");
  const Properties& device = device_of(c).properties();
  if (std::string why = few_channels_refuse(device.major, device.minor); !why.empty()) return unsupported("{}", why);
  auto kernel = std::make_unique<FewChannelsKernel>();
  FewChannelsArgs& a = kernel->args;
  a.half = c.outputs[0].dtype == DType::kFloat16, a.half_input = c.inputs[kX].dtype == DType::kFloat16;
  FOVEA_TRY(describe_windows(c, a));
  for (size_t i = 1; i < c.group.nodes.size(); ++i)
    if (c.group.nodes[i] != pool_of(c.group)) describe_activation(*c.group.nodes[i], a);
  const auto is_half = [](float v) { return static_cast<float>(Half(v)) == v; };
  a.clip_halves =
      a.half && a.activate == Activate::kClip && a.low <= 0 && a.high >= 0 && is_half(a.low) && is_half(a.high);
  group_channels(a);
  if (!place_tiles(a, device.shared_bytes_per_block))
    return unsupported("a filter of {}x{} to {} channels needs more than {} bytes of shared memory", a.r, a.s, a.k,
                       device.shared_bytes_per_block);
  FOVEA_TRY(device_of(c).make_current());
  FOVEA_TRY(pack(c, *kernel));
  FOVEA_TRY(choose_blocks(device, *kernel));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_few_channels_conv_cuda = {.name = "few_channels_conv_cuda",
                                                 .op = "Conv",
                                                 .place = Place::kDevice,
                                                 .match = match,
                                                 .refuse = refuse,
                                                 .formats = formats,
                                                 .prepare = prepare};

}  // namespace fovea::core
