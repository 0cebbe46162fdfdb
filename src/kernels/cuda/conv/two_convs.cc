// The sum of two 1x1 convolutions, as a residual block has it whose shortcut is a convolution: one matrix product over
// the channels of both inputs. What it saves is to write the one's result and to read it again, many channels wide.
#include "kernels/cuda/conv/two_products.h"

#include <algorithm>
#include <array>
#include <limits>

#include "kernels/cuda/conv/overlap.h"
#include "kernels/cuda/conv/packing.h"
#include "kernels/cuda/conv/tuning.h"
#include "ops/conv.h"

namespace fovea::core {
namespace {

using namespace cuda;

// Those of the convolution with more input channels come first.
enum Input : size_t { kFirst = 0, kSecond = kConvInputs };

// ---- which convolutions

const Node* product_for(const Graph& graph, const Value* value, const Node& add) {
  const Node* conv = value ? value->producer : nullptr;
  return conv && conv->is("Conv") && is_product(*conv) && only_user(graph, value) == &add ? conv : nullptr;
}

int64_t input_channels(const Node& conv) {
  const Dim& channels = conv.input(kWeights)->shape[1];
  return channels.is_const() ? channels.int_value() : 0;
}

// The one that the sum has as its first operand is asked, so that a pair is found once.
std::vector<Group> match(const Graph& graph, const Node& anchor) {
  const Node* add = only_user(graph, anchor.output());
  if (!add || !add->is("Add") || add->input(0) != anchor.output() || !is_product(anchor)) return {};
  const Node* other = product_for(graph, add->input(1), *add);
  if (!other || other == &anchor || other->output()->shape != anchor.output()->shape ||
      add->output()->shape != anchor.output()->shape)
    return {};
  Group g;
  g.nodes = {&anchor, other, add};
  const bool swapped = input_channels(*other) > input_channels(anchor);
  for (const Node* conv : {swapped ? other : &anchor, swapped ? &anchor : other})
    for (size_t i = 0; i < kConvInputs; ++i) g.inputs.push_back(conv->input(i));
  g.outputs = {add->output()};
  std::vector<Group> groups = {g};
  if (const Node* relu = only_user(graph, add->output()); relu && relu->is("Relu")) {
    g.nodes.push_back(relu), g.outputs = {relu->output()};
    groups.insert(groups.begin(), std::move(g));
  }
  return groups;
}

bool all_half(const Group& group) {
  return may_be_half(*group.inputs[kFirst]) && may_be_half(*group.inputs[kSecond]) && may_be_half(*group.outputs[0]);
}

std::string refuse(const Group& group) {
  for (size_t first : {kFirst, kSecond})
    if (std::string why = inputs_refusal(std::span(group.inputs).subspan(first, kConvInputs)); !why.empty()) return why;
  if (!all_half(group)) return "not float16, which it multiplies in";
  return "";
}

std::vector<FormatChoice> formats(const Group& group) {
  FormatChoice c;
  c.inputs.assign(group.inputs.size(), kHost);
  c.inputs[kFirst] = c.inputs[kSecond] = half(kNhwc8);
  c.outputs = {half(kNhwc8)};
  return {c};
}

// ---- the kernel

struct Way {
  const char* name;
  cudaError_t (*start)(const TwoProductsArgs&, cudaStream_t);
};
constexpr std::array<Way, 3> kWays{
    {{"256x128", two_products_256x128}, {"128x256", two_products_128x256}, {"128x128", two_products_128x128}}};

class TwoConvsKernel final : public PreparedKernel {
 public:
  TwoProductsArgs args;
  Way way = kWays[0];
  Overlap overlap;  // of the first input
  std::shared_ptr<void> weights[2], bias;
  TensorPtr owners[4];  // whose addresses name the packed ones

  Status run(KernelContext& c) const override {
    TwoProductsArgs a = args;
    const std::byte* x[2] = {static_cast<const std::byte*>(c.in(kFirst).data),
                             static_cast<const std::byte*>(c.in(kSecond).data)};
    auto* const y = static_cast<std::byte*>(c.out().data);
    FOVEA_TRY(stream_of(c).device().make_current());  // where the kernel is told how much shared memory it may have
    return overlap.each_part(x[0], y, [&](int64_t begin, int64_t count) {
      a.rows = static_cast<int>(count);
      for (int i = 0; i < 2; ++i) a.x[i] = x[i] + begin * a.k[i] * 2;
      a.y = y + begin * a.columns * 2;
      return check(way.start(a, handle_of(c)), "two_products");
    });
  }
  std::string detail() const override { return way.name; }
  int64_t overlap_lead() const override { return overlap.lead(); }
};

Status pack(const PrepareContext& c, TwoConvsKernel& kernel) {
  std::vector<float> sum;
  std::string key = "cuda two convs bias";
  for (size_t i = 0; i < 2; ++i) {
    const size_t first = i * kConvInputs;
    kernel.owners[2 * i] = c.inputs[first + kWeights].constant;
    FOVEA_TRY_SET(ConvWeights packed, pack_weights(c, *kernel.owners[2 * i], false, DType::kFloat16));
    kernel.weights[i] = std::move(packed.data);
    kernel.args.w[i] = kernel.weights[i].get();
    const TensorPtr& bias = kernel.owners[2 * i + 1] = c.inputs[first + kBias].constant;
    key += fmt::format(" {}", static_cast<const void*>(bias.get()));
    if (!bias) continue;
    sum.resize(static_cast<size_t>(kernel.args.columns), 0.0f);
    for (int64_t k = 0; k < bias->count(); ++k)
      sum[static_cast<size_t>(k)] += bias->as<float>()[static_cast<size_t>(k)];
  }
  if (sum.empty()) return {};
  FOVEA_TRY_SET(kernel.bias, upload(c, key, sum.data(), static_cast<int64_t>(sum.size()) * 4));
  kernel.args.bias = static_cast<const float*>(kernel.bias.get());
  return {};
}

Result<Way> fastest(CudaDevice& device, TwoProductsArgs a) {
  FOVEA_TRY_SET(const CudaDevice::Workbench bench, device.workbench());
  Stream& stream = bench.stream;
  const auto random = [&](int columns) {
    return random_memory(stream, DType::kFloat16, static_cast<int64_t>(a.rows) * columns);
  };
  FOVEA_TRY_SET(const DeviceMemory x, random(a.k[0]));
  FOVEA_TRY_SET(const DeviceMemory other, random(a.k[1]));
  FOVEA_TRY_SET(const DeviceMemory y, random(a.columns));
  a.x[0] = x.data(), a.x[1] = other.data(), a.y = y.data();
  double best = std::numeric_limits<double>::infinity();
  const Way* chosen = nullptr;
  Status failed;
  for (const Way& way : kWays) {
    const auto ms = time_runs(stream, best, [&] { return check(way.start(a, stream.handle()), "two_products"); });
    if (!ms.ok()) failed = ms.status();
    else if (*ms < 0.97 * best) best = *ms, chosen = &way;
  }
  if (!chosen) return failed;
  return *chosen;
}

// Without timing: small tiles where large ones would leave multiprocessors without work.
Way likely(const TwoProductsArgs& a) {
  const int64_t tiles = (int64_t{a.rows} + 127) / 128 * ((a.columns + 255) / 256);
  return tiles < a.multiprocessors ? kWays[2] : kWays[0];
}

Result<Way> choose_way(const PrepareContext& c, const TwoProductsArgs& args) {
  for (const Way& way : kWays)
    if (c.variant == way.name) return way;
  return c.tune ? fastest(device_of(c), args) : likely(args);
}

std::string refuse_device(const Properties& device) {
  if (device.major != 9 || device.minor != 0)
    return fmt::format("compute capability {}.{}, not 9.0", device.major, device.minor);
  return device.sm90a ? "" : "this build of fovea has no code for sm_90a";
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  const Properties& device = device_of(c).properties();
  if (std::string why = refuse_device(device); !why.empty()) return unsupported("{}", why);
  const std::vector<int64_t>&x = c.inputs[kFirst].shape, &other = c.inputs[kSecond].shape, &y = c.outputs[0].shape;
  const int64_t pixels = y[0] * y[2] * y[3], most = std::max({x[1], other[1], y[1]});
  if (pixels == 0 || y[1] == 0) return unsupported("nothing to compute");
  if (pixels > std::numeric_limits<int>::max() / 2 || most > 1 << 20)
    return unsupported("{} pixels of {} channels", pixels, most);
  // Long sums in few tiles, where libraries let several blocks share one.
  constexpr int64_t kLong = 1024, kTile = 128;
  const int64_t tiles = (pixels + kTile - 1) / kTile * ((y[1] + kTile - 1) / kTile);
  if (2 * tiles < device.multiprocessors && x[1] + other[1] > kLong)
    return unsupported("sums of {} in {} tiles for {} multiprocessors", x[1] + other[1], tiles, device.multiprocessors);
  auto kernel = std::make_unique<TwoConvsKernel>();
  TwoProductsArgs& a = kernel->args;
  const auto eights = [](int64_t channels) { return static_cast<int>(padded(channels)); };
  a.rows = static_cast<int>(pixels), a.columns = eights(y[1]);
  a.k[0] = eights(x[1]), a.k[1] = eights(other[1]);
  a.low = c.group.nodes.back()->is("Relu") ? 0.0f : -std::numeric_limits<float>::infinity();
  a.high = std::numeric_limits<float>::infinity();
  a.multiprocessors = device.multiprocessors;
  kernel->overlap = Overlap::of(pixels, int64_t{2} * a.k[0], int64_t{2} * a.columns);
  FOVEA_TRY(device_of(c).make_current());
  FOVEA_TRY(pack(c, *kernel));
  FOVEA_TRY_SET(kernel->way, choose_way(c, a));
  return std::unique_ptr<PreparedKernel>(std::move(kernel));
}

}  // namespace

const KernelRow kernel_cutlass_two_convs = {.name = "cutlass_two_convs",
                                            .op = "Conv",
                                            .reaches_back = true,
                                            .place = Place::kDevice,
                                            .match = match,
                                            .refuse = refuse,
                                            .formats = formats,
                                            .prepare = prepare};

}  // namespace fovea::core
