// Pictures and rules at random, every layout, order and format: what the device makes of a picture is within 1/255 of
// what the reference makes of it, in brightness from 0 to 1; the largest difference is printed.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "ir/infer.h"
#include "kernels/cpu/row_runner.h"
#include "kernels/cuda/common.h"
#include "kernels/reference/reference.h"
#include "ops/op.h"
#include "ops/preprocess.h"

namespace fovea::core::test {
namespace {

template <typename T>
T pick(std::mt19937& rng, std::initializer_list<T> from) {
  return from.begin()[rng() % from.size()];
}

PreprocessAttrs random_attributes(std::mt19937& rng) {
  PreprocessAttrs a;
  ResizeRule& rule = a.resize;
  rule.mode = static_cast<ResizeMode>(rng() % 4);
  const auto side = [&] { return pick<int64_t>(rng, {1, 2, 7, 16, 33, 100, 300}); };
  rule.height = side(), rule.width = side();
  rule.min_side = side(), rule.max_side = rule.min_side + side();
  if (rule.mode == ResizeMode::kNone || rule.mode == ResizeMode::kShortestSide)
    rule.divisible_by = pick<int64_t>(rng, {1, 8, 32});
  rule.align = static_cast<ResizeAlign>(rng() % 2);
  rule.rounding = static_cast<ResizeRounding>(rng() % 2);
  a.antialias = rng() % 2;
  a.color = static_cast<PixelOrder>(rng() % 3);
  a.layout = static_cast<PixelLayout>(rng() % 4);
  a.dtype = pick(rng, {DType::kFloat32, DType::kFloat32, DType::kFloat16});
  const bool gray = a.color == PixelOrder::kGray;
  a.pad_value = gray ? std::vector<double>{114} : std::vector<double>{114, 0, 255};
  a.scale = pick(rng, {1., 1. / 255});
  if (rng() % 2) a.mean = gray ? std::vector<double>{0.45} : std::vector<double>{0.485, 0.456, 0.406};
  if (rng() % 2) a.std = gray ? std::vector<double>{0.226} : std::vector<double>{0.229, 0.224, 0.225};
  return a;
}

// A graph of one Preprocess, a picture whose rows may lie apart, and what the reference says, in float32.
struct PreprocessCase {
  Graph graph{"case"};
  Node* node = nullptr;
  PreprocessAttrs attrs;
  int64_t height = 1, width = 1, pitch = 3;  // pitch: bytes from row to row
  std::vector<uint8_t> rgb;
  std::shared_ptr<Tensor> expected;
  int64_t input_h = 0, input_w = 0;

  Status make(std::mt19937& rng) {
    attrs = random_attributes(rng);
    const auto side = [&] { return pick<int64_t>(rng, {1, 1, 2, 3, 17, 63, 301, 480, 641}); };
    height = side(), width = side();
    pitch = width * 3 + pick<int64_t>(rng, {0, 0, 1, 13});
    for (int64_t i = 0; i < height * pitch; ++i) rgb.push_back(static_cast<uint8_t>(rng()));
    node = graph.add_node(find_op("Preprocess"), make_attrs(attrs),
                          {graph.add_input("picture", DType::kUInt8, {height, width, 3})});
    FOVEA_TRY(infer_node(graph, *node));
    const ResizeGeometry g = resize_geometry(attrs.resize, height, width);
    input_h = g.input_h, input_w = g.input_w;
    return run_reference();
  }

  TensorRef picture(const void* data) const {
    const Dims dims{height, width, 3};
    TensorRef r = TensorRef::dense_of(DType::kUInt8, dims, const_cast<void*>(data));
    r.strides[0] = pitch;
    return r;
  }
  Dims output_dims() const {
    Dims dims;
    for (const Dim& d : node->output()->shape) dims.push_back(d.int_value());
    return dims;
  }

  Status run_reference() {
    PreprocessAttrs exact = attrs;
    exact.dtype = DType::kFloat32;
    const AttrsPtr held = make_attrs(exact);
    FOVEA_TRY_SET(expected, Tensor::allocate(DType::kFloat32, output_dims()));
    const TensorRef in = picture(rgb.data());
    TensorRef out = TensorRef::of(*expected);
    Scratch scratch;
    KernelContext c;
    c.inputs = std::span(&in, 1), c.outputs = std::span(&out, 1), c.attributes = held.get(), c.scratch = &scratch;
    return reference_Preprocess(c);
  }
};

// The row in one of its formats: the output's element type and layout.
class PreprocessOnDevice {
 public:
  PreprocessOnDevice(Device& device, const PreprocessCase& c, DType type, Layout layout)
      : device_(device), case_(c), group_(single_node_group(*c.node)), type_(type), layout_(layout) {}

  Status run() {
    if (std::string why = kernel_preprocess_cuda.refuse(group_); !why.empty())
      return internal_error("refused: {}", why);
    rows::WeightsMap weights;
    PrepareContext context{group_, {}, {}};
    context.device = &device_, context.weights = &weights;
    TensorDesc picture, y;
    picture.dtype = DType::kUInt8, picture.shape = {case_.height, case_.width, 3};
    y.dtype = type_, y.shape = case_.output_dims(), y.layout = layout_;
    context.inputs = {picture}, context.outputs = {y};
    FOVEA_TRY_SET(const auto kernel, kernel_preprocess_cuda.prepare(context));
    FOVEA_TRY_SET(const auto stream, device_.create_stream());
    const auto size = static_cast<int64_t>(case_.rgb.size());
    FOVEA_TRY_SET(const DeviceMemory from, device_.allocate(size, DeviceMemory::Kind::kDevice));
    FOVEA_TRY(stream->copy(from.data(), case_.rgb.data(), size));
    const int64_t elements = storage_elements(layout_, y.shape), bytes = dtype_bytes(type_, elements).value_or(0);
    // A fence behind the output.
    FOVEA_TRY_SET(const DeviceMemory to, device_.allocate(bytes + kFence, DeviceMemory::Kind::kDevice));
    std::vector<std::byte> found(static_cast<size_t>(bytes + kFence), std::byte{0xff});
    FOVEA_TRY(stream->copy(to.data(), found.data(), bytes + kFence));
    const TensorRef in = case_.picture(from.data());
    TensorRef out = TensorRef::dense_of(type_, y.shape, to.data());
    KernelContext c;
    c.inputs = std::span(&in, 1), c.outputs = std::span(&out, 1), c.attributes = case_.node->attrs.get();
    c.stream = stream.get();
    FOVEA_TRY(kernel->run(c));
    FOVEA_TRY(stream->copy(found.data(), to.data(), bytes + kFence));
    FOVEA_TRY(stream->synchronize());
    for (int64_t i = bytes; i < bytes + kFence; ++i)
      if (found[static_cast<size_t>(i)] != std::byte{0xff})
        return internal_error("byte {} behind the output was written", i - bytes);
    read(found.data(), elements);
    return {};
  }

  // The largest difference in brightness, 1 between black and white.
  void compare(double& largest) const {
    const auto expected = case_.expected->as<float>();
    const PreprocessAttrs& a = case_.attrs;
    const int channels = a.channels();
    const bool planes = a.layout == PixelLayout::kNchw || a.layout == PixelLayout::kChw;
    for (int64_t y = 0; y < case_.input_h; ++y)
      for (int64_t x = 0; x < case_.input_w; ++x)
        for (int k = 0; k < channels; ++k) {
          const int64_t pixel = y * case_.input_w + x;
          const int64_t plain = planes ? k * case_.input_h * case_.input_w + pixel : pixel * channels + k;
          const int64_t at = layout_ == Layout::kNhwc8 ? pixel * 8 + k : plain;
          const float want = expected[static_cast<size_t>(plain)], got = found_[static_cast<size_t>(at)];
          // To white's brightness: (level * scale - mean) / std is `white` wide.
          const double deviation = a.std.empty() ? 1 : a.std[static_cast<size_t>(k)], white = 255 * a.scale / deviation;
          const double rounding = type_ == DType::kFloat16 ? std::ldexp(std::abs(want), -11) + std::ldexp(1, -24) : 0;
          const double apart = std::abs(got - want) / white;
          ASSERT_LE(apart, 1. / 255 + rounding / white) << "channel " << k << " row " << y << " column " << x << ": "
                                                        << got << ", not " << want;  // NaN fails, too
          largest = std::max(largest, apart);
        }
    if (layout_ != Layout::kNhwc8) return;
    for (int64_t i = 0; i < std::ssize(found_); ++i)
      if (i % 8 >= channels) ASSERT_EQ(found_[static_cast<size_t>(i)], 0) << "filling of element " << i;
  }

 private:
  static constexpr int64_t kFence = 256;

  void read(const std::byte* data, int64_t elements) {
    found_.resize(static_cast<size_t>(elements));
    Scratch scratch;
    KernelContext c;
    c.scratch = &scratch;
    const float* values =
        load<float>(c, TensorRef::dense_of(type_, std::span(&elements, 1), const_cast<std::byte*>(data)));
    std::copy_n(values, elements, found_.data());
  }

  Device& device_;
  const PreprocessCase& case_;
  Group group_;
  DType type_;
  Layout layout_;
  std::vector<float> found_;
};

TEST(PreprocessCuda, MakesOfAPictureWhatTheReferenceMakes) {
  auto device = cuda::CudaDevice::open(0);
  if (!device.ok()) GTEST_SKIP() << device.status().message();
  double exact = 0, halves = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    std::mt19937 rng(seed);
    PreprocessCase c;
    Status s = c.make(rng);
    ASSERT_TRUE(s.ok()) << s.message();
    for (const Layout layout : {Layout::kPlain, Layout::kNhwc8}) {
      if (layout == Layout::kNhwc8 && (c.attrs.layout != PixelLayout::kNchw || c.attrs.dtype != DType::kFloat32))
        continue;
      for (const DType type : {DType::kFloat32, DType::kFloat16}) {
        if (type == DType::kFloat32 && c.attrs.dtype == DType::kFloat16) continue;  // its output is never wider
        SCOPED_TRACE(fmt::format("seed {}, {} x {}, {} in {}", seed, c.height, c.width, to_string(type),
                                 layout == Layout::kPlain ? "plain" : "NHWC by 8"));
        PreprocessOnDevice on_device(**device, c, type, layout);
        s = on_device.run();
        ASSERT_TRUE(s.ok()) << s.message();
        on_device.compare(type == DType::kFloat16 ? halves : exact);
        if (HasFatalFailure()) return;
      }
    }
  }
  std::printf("largest difference in brightness, 1 between black and white: %.3g in float32, %.3g in float16\n", exact,
              halves);
  RecordProperty("largest_float32", fmt::format("{}", exact));
  RecordProperty("largest_float16", fmt::format("{}", halves));
}

}  // namespace
}  // namespace fovea::core::test
