// Preprocess in one kernel, from the bytes of a picture to the network's input in whatever format comes next.
#include "kernels/cuda/detect/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cuda/common.h"
#include "ops/preprocess.h"

namespace fovea::core::cuda {
namespace {

// As the reference works them out: which input pixels an output pixel is made of, and with which weights.
struct Taps {
  std::vector<int32_t> first, count;
  std::vector<float> weight;
  int64_t width;

  Taps(int64_t out, int64_t most)
      : first(static_cast<size_t>(out)),
        count(static_cast<size_t>(out)),
        weight(static_cast<size_t>(out * most)),
        width(most) {}
};

Taps identity_taps(int64_t size) {
  Taps t(size, 1);
  for (size_t i = 0; i < t.first.size(); ++i) t.first[i] = static_cast<int32_t>(i), t.count[i] = 1, t.weight[i] = 1;
  return t;
}

Taps linear_taps(int64_t in, int64_t out) {
  Taps t(out, 2);
  const double step = static_cast<double>(in) / static_cast<double>(out);
  for (size_t i = 0; i < t.first.size(); ++i) {
    const auto position = static_cast<float>((static_cast<double>(i) + 0.5) * step - 0.5);
    auto left = static_cast<int64_t>(std::floor(position));
    float right_weight = position - static_cast<float>(left);
    if (left < 0) left = 0, right_weight = 0;
    if (left >= in - 1) left = in - 1, right_weight = 0;
    t.first[i] = static_cast<int32_t>(left);
    t.count[i] = right_weight > 0 ? 2 : 1;
    t.weight[2 * i] = 1 - right_weight, t.weight[2 * i + 1] = right_weight;
  }
  return t;
}

Taps triangle_taps(int64_t in, int64_t out) {
  const double step = static_cast<double>(in) / static_cast<double>(out), support = std::max(step, 1.0);
  Taps t(out, std::min(static_cast<int64_t>(std::ceil(support)) * 2 + 1, in));
  const auto width = static_cast<size_t>(t.width);
  for (size_t i = 0; i < t.first.size(); ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * step;
    const auto first = std::max<int64_t>(static_cast<int64_t>(centre - support + 0.5), 0);
    const auto count = std::min(std::min<int64_t>(static_cast<int64_t>(centre + support + 0.5), in) - first, t.width);
    const auto weight = [&](int64_t k) {
      return std::max(1 - std::abs((static_cast<double>(k + first) - centre + 0.5) / support), 0.0);
    };
    double sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += weight(k);
    for (int64_t k = 0; k < count; ++k)
      t.weight[i * width + static_cast<size_t>(k)] = static_cast<float>(weight(k) / sum);
    t.first[i] = static_cast<int32_t>(first), t.count[i] = static_cast<int32_t>(count);
  }
  return t;
}

// Taps in the device's memory: first, count, weight.
Result<std::shared_ptr<void>> taps_on_device(const PrepareContext& c, bool antialias, int64_t in, int64_t out,
                                             TapsView& view) {
  const Taps t = in == out ? identity_taps(in) : antialias ? triangle_taps(in, out) : linear_taps(in, out);
  const size_t integers = t.first.size() * sizeof(int32_t), floats = t.weight.size() * sizeof(float);
  std::vector<std::byte> bytes(2 * integers + floats);
  std::memcpy(bytes.data(), t.first.data(), integers);
  std::memcpy(bytes.data() + integers, t.count.data(), integers);
  std::memcpy(bytes.data() + 2 * integers, t.weight.data(), floats);
  FOVEA_TRY_SET(auto memory,
                upload(c, fmt::format("cuda preprocess {} {} {}", antialias ? "triangle" : "linear", in, out),
                       bytes.data(), static_cast<int64_t>(bytes.size())));
  const auto* data = static_cast<const std::byte*>(memory.get());
  view.first = reinterpret_cast<const int32_t*>(data);
  view.count = reinterpret_cast<const int32_t*>(data + integers);
  view.weight = reinterpret_cast<const float*>(data + 2 * integers);
  view.width = static_cast<int>(t.width);
  return memory;
}

float channel(const std::vector<double>& values, size_t k, double missing) {
  return static_cast<float>(values.empty() ? missing : values.size() == 1 ? values[0] : values[k]);
}

class PreprocessKernel final : public PreparedKernel {
 public:
  PreprocessKernel(PreprocessArguments arguments, PixelLayout layout, std::shared_ptr<void> across,
                   std::shared_ptr<void> down)
      : arguments_(arguments), layout_(layout), across_(std::move(across)), down_(std::move(down)) {}

  Status run(KernelContext& c) const override {
    const TensorRef &picture = c.in(0), &y = c.out();
    PreprocessArguments a = arguments_;
    a.picture = picture.as<uint8_t>();
    a.row = picture.strides[0], a.column = picture.strides[1], a.colour = picture.strides[2];
    a.out = y.data;
    const bool batch = layout_ == PixelLayout::kNchw || layout_ == PixelLayout::kNhwc,
               planes = layout_ == PixelLayout::kNchw || layout_ == PixelLayout::kChw;
    const size_t first = batch ? 1 : 0;
    a.channel_stride = y.strides[planes ? first : first + 2];
    a.y_stride = y.strides[planes ? first + 1 : first];
    a.x_stride = y.strides[planes ? first + 2 : first + 1];
    return check(preprocess(a, handle_of(c)), "preprocess_cuda");
  }

 private:
  PreprocessArguments arguments_;
  PixelLayout layout_;
  std::shared_ptr<void> across_, down_;
};

std::string refuse(const Group& group) {
  const DType type = group.outputs[0]->dtype;
  return type == DType::kFloat32 || type == DType::kFloat16 ? "" : fmt::format("to {}", to_string(type));
}

std::vector<FormatChoice> formats(const Group& group) {
  const Value& y = *group.outputs[0];
  const bool packs = group.nodes[0]->as<PreprocessAttrs>().layout == PixelLayout::kNchw && y.dtype == DType::kFloat32;
  std::vector<FormatChoice> choices;
  for (const bool halves : {true, false}) {
    if (halves && !may_be_half(y)) continue;
    choices.push_back({{kPlain}, {halves ? half(kPlain) : kPlain}});
    if (packs) choices.push_back({{kPlain}, {halves ? half(kNhwc8) : kNhwc8}});
  }
  return choices;
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  const auto& attrs = c.group.nodes[0]->as<PreprocessAttrs>();
  const auto& picture = c.inputs[0].shape;
  const TensorDesc& y = c.outputs[0];
  if (picture[2] != 3 || picture[0] < 1 || picture[1] < 1)
    return invalid_argument("expected a picture [H,W,3], found [{}]", fmt::join(picture, ","));
  const ResizeGeometry g = resize_geometry(attrs.resize, picture[0], picture[1]);
  const int channels = attrs.channels();
  if (element_count(y.shape) != g.input_h * g.input_w * channels)
    return invalid_argument("a picture of {} x {} gives {} x {}, for which the output has no room", picture[0],
                            picture[1], g.input_h, g.input_w);
  // blockIdx.y has 16 bits; int indices within a row.
  if (g.input_h > 65535 * 8 || g.input_w > (1 << 30)) return unsupported("an input of {} x {}", g.input_h, g.input_w);
  PreprocessArguments a;
  FOVEA_TRY_SET(auto across, taps_on_device(c, attrs.antialias, g.picture_w, g.resized_w, a.across));
  FOVEA_TRY_SET(auto down, taps_on_device(c, attrs.antialias, g.picture_h, g.resized_h, a.down));
  a.resized_h = static_cast<int>(g.resized_h), a.resized_w = static_cast<int>(g.resized_w);
  a.input_h = static_cast<int>(g.input_h), a.input_w = static_cast<int>(g.input_w);
  a.pad_y = static_cast<int>(g.pad_y), a.pad_x = static_cast<int>(g.pad_x);
  a.channels = channels, a.red = attrs.color == PixelOrder::kBgr ? 2 : 0;
  a.scale = static_cast<float>(attrs.scale);
  for (size_t k = 0; k < static_cast<size_t>(channels); ++k) {
    a.mean[k] = channel(attrs.mean, k, 0), a.deviation[k] = channel(attrs.std, k, 1);
    a.padding[k] = (channel(attrs.pad_value, k, 0) * a.scale - a.mean[k]) / a.deviation[k];
  }
  a.half = y.dtype == DType::kFloat16, a.packed = y.layout == Layout::kNhwc8;
  return std::unique_ptr<PreparedKernel>(
      std::make_unique<PreprocessKernel>(a, attrs.layout, std::move(across), std::move(down)));
}

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

const KernelRow kernel_preprocess_cuda = {.name = "preprocess_cuda",
                                          .op = "Preprocess",
                                          .strided_inputs = true,
                                          .place = Place::kDevice,
                                          .match = match_node,
                                          .refuse = cuda::refuse,
                                          .formats = cuda::formats,
                                          .prepare = cuda::prepare};

}  // namespace fovea::core
