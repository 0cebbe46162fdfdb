// Attributes at random, all output forms: the device keeps the very boxes that the reference keeps, also where their
// number depends on data, which cases of one line cannot say.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include <cstring>

#include "ir/infer.h"
#include "kernels/cuda/common.h"
#include "kernels/reference/detect/nms_testing.h"
#include "kernels/reference/reference.h"
#include "ops/nms.h"
#include "ops/op.h"

namespace fovea::core::test {
namespace {

template <typename T>
T pick(std::mt19937& rng, std::initializer_list<T> from) {
  return from.begin()[rng() % from.size()];
}

NmsAttrs random_attributes(std::mt19937& rng, int64_t images) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  NmsAttrs a;
  a.box_form = static_cast<NmsBoxForm>(rng() % 5);
  a.candidates = static_cast<NmsCandidates>(rng() % 3);
  a.top_m = 1 + rng() % 4;
  a.background = pick<int64_t>(rng, {-1, 0, 1, 2});
  a.group = static_cast<NmsGroup>(rng() % 3);
  a.score_threshold = pick(rng, {-kInf, -0.5, 0., 0.25, 0.5, 0.9, kInf});
  a.score_compare = static_cast<NmsCompare>(rng() % 2);
  a.pre_top_k = pick<int64_t>(rng, {-1, -1, 0, 1, 7, 50, 256, 300, 1500});
  a.pre_top_k_of = static_cast<NmsScope>(rng() % 2);
  a.iou_threshold = pick(rng, {-0.5, 0., 0.25, 1. / 3, 0.5, 0.5, 0.9, 1., 2.});
  a.iou_compare = static_cast<NmsCompare>(rng() % 2);
  a.iou_offset = rng() % 2;
  a.max_per_group = pick<int64_t>(rng, {-1, -1, 0, 1, 3, 20, 200});
  a.max_total = pick<int64_t>(rng, {-1, -1, 0, 1, 10, 100, 500});
  a.output = static_cast<NmsOutput>(rng() % 4);
  if (a.output == NmsOutput::kIndicesByScore && images > 1) a.output = NmsOutput::kDetections;
  const bool rows = a.output == NmsOutput::kPadded || a.output == NmsOutput::kDetections;
  if (a.candidates == NmsCandidates::kArgmax && rows) a.classes_per_box = 1 + rng() % 4;
  a.class_offset = pick<int64_t>(rng, {-1, 0, 1});
  a.clip = rng() % 2 && a.box_form != NmsBoxForm::kCentre && a.box_form != NmsBoxForm::kXywh;
  a.fill = static_cast<NmsFill>(rng() % 2);
  return a;
}

// A graph of one Nms, its inputs, and what the reference says.
struct NmsCase {
  Graph graph{"case"};
  Node* node = nullptr;
  std::vector<TensorPtr> inputs;                // null: absent
  std::vector<std::shared_ptr<Tensor>> memory;  // of the outputs at their largest
  std::vector<TensorRef> expected;

  Status make(std::mt19937& rng, int64_t most_boxes) {
    const int64_t images = 1 + rng() % 3, classes = pick<int64_t>(rng, {1, 1, 2, 3, 5, 40, 100});
    const int64_t boxes = std::min<int64_t>(rng() % 20 == 0 ? rng() % 2 : 1 + rng() % most_boxes, 40000 / classes);
    const auto nasty = static_cast<Nasty>(rng() % 3);
    const Scene s = random_scene(rng, images, boxes, rng() % 3 == 0 ? classes : 1, classes, nasty);
    const NmsAttrs a = random_attributes(rng, images);
    inputs.assign(6, nullptr);
    inputs[0] = s.box_tensor();
    inputs[1] = classes == 1 && rng() % 2 ? Tensor::of<float>({images, boxes}, std::span(s.scores)) : s.score_tensor();
    if (a.group == NmsGroup::kExplicit || (a.group == NmsGroup::kNone && rng() % 2)) {
      std::vector<int64_t> group;
      const auto groups = pick<uint32_t>(rng, {1, 3, 20});
      for (int64_t i = 0; i < images * boxes; ++i)
        group.push_back(static_cast<int64_t>(rng() % groups) * 0x123456789 - 5);
      inputs[2] = Tensor::of<int64_t>({images, boxes}, std::span<const int64_t>(group));
    }
    if (rng() % 4 == 0) inputs[3] = Tensor::scalar<int64_t>(pick<int64_t>(rng, {-3, 0, 2, 30}));
    if (rng() % 4 == 0) inputs[4] = Tensor::scalar(0.4f);
    if (rng() % 4 == 0) inputs[5] = Tensor::scalar(0.3f);

    std::vector<Value*> values;
    for (size_t i = 0; i < inputs.size(); ++i)
      values.push_back(!inputs[i] ? nullptr
                       : i > 2    ? graph.add_constant(inputs[i])
                                  : graph.add_input(fmt::format("x{}", i), inputs[i]->dtype(),
                                                    Shape(inputs[i]->dims().begin(), inputs[i]->dims().end())));
    const bool rows = a.output == NmsOutput::kPadded || a.output == NmsOutput::kDetections;
    node = graph.add_node(find_op("Nms"), make_attrs(a), values, rows ? 5 : 2);
    FOVEA_TRY(infer_node(graph, *node));
    return run_reference();
  }

  Dims largest(const Value& v) const {
    Dims dims;
    for (const Dim& d : v.shape) dims.push_back(d.is_const() ? d.int_value() : node->sizes[0].bound.int_value());
    return dims;
  }

  Status run_reference() {
    std::vector<TensorRef> in;
    for (const TensorPtr& t : inputs) in.push_back(t ? TensorRef::of(*t) : TensorRef{});
    for (const Value* v : node->outputs) {
      FOVEA_TRY_SET(auto t, Tensor::allocate(v->dtype, largest(*v)));
      expected.push_back(TensorRef::of(*t));
      memory.push_back(std::move(t));
    }
    Scratch scratch;
    KernelContext c;
    c.inputs = in, c.outputs = expected, c.attributes = node->attrs.get(), c.scratch = &scratch;
    return reference_Nms(c);
  }
};

class NmsOnDevice {
 public:
  NmsOnDevice(Device& device, const NmsCase& c) : device_(device), case_(c), group_(single_node_group(*c.node)) {}

  Status run() {
    PrepareContext context{group_, {}, {}};
    context.device = &device_;
    for (const TensorPtr& t : case_.inputs)
      context.inputs.push_back(t ? describe(t->dtype(), t->dims()) : TensorDesc{});
    for (const Value* v : case_.node->outputs) context.outputs.push_back(describe(v->dtype, case_.largest(*v)));
    if (std::string why = kernel_nms_cuda.refuse(group_); !why.empty()) return internal_error("refused: {}", why);
    FOVEA_TRY_SET(const auto kernel, kernel_nms_cuda.prepare(context));
    FOVEA_TRY_SET(stream_, device_.create_stream());
    std::vector<TensorRef> in, out;
    for (size_t i = 0; i < case_.inputs.size(); ++i) {
      in.emplace_back();
      const TensorPtr& t = case_.inputs[i];
      if (!t || i > nms_input::kGroup) continue;
      FOVEA_TRY_SET(std::byte * data, room(static_cast<int64_t>(t->bytes().size())));
      FOVEA_TRY(stream_->copy(data, t->bytes().data(), static_cast<int64_t>(t->bytes().size())));
      in.back() = TensorRef::dense_of(t->dtype(), t->dims(), data);
    }
    for (const TensorDesc& d : context.outputs) {
      FOVEA_TRY_SET(std::byte * data, room(dtype_bytes(d.dtype, *element_count(d.shape)).value_or(0)));
      out.push_back(TensorRef::dense_of(d.dtype, d.shape, data));
    }
    KernelContext c;
    FOVEA_TRY_SET(c.workspace, room(kernel->workspace_bytes()));
    FOVEA_TRY_SET(std::byte * sizes, room(8));
    c.inputs = in, c.outputs = out, c.attributes = case_.node->attrs.get(), c.stream = stream_.get();
    c.sizes = reinterpret_cast<int64_t*>(sizes);
    FOVEA_TRY(kernel->run(c));
    if (!case_.node->sizes.empty()) FOVEA_TRY(stream_->copy(&size_, sizes, 8));
    for (size_t i = 0; i < out.size(); ++i) {
      const TensorRef& want = case_.expected[i];
      found_.emplace_back(static_cast<size_t>(dtype_bytes(want.dtype, want.count()).value_or(0)));
      FOVEA_TRY(stream_->copy(found_.back().data(), out[i].data, static_cast<int64_t>(found_.back().size())));
    }
    return stream_->synchronize();
  }

  void compare() const {
    if (!case_.node->sizes.empty()) {
      ASSERT_EQ(size_, case_.expected[0].dims[0]);
    }
    for (size_t i = 0; i < found_.size(); ++i) {
      if (found_[i].empty()) continue;
      if (case_.expected[i].dtype != DType::kFloat32) {
        ASSERT_EQ(std::memcmp(found_[i].data(), case_.expected[i].data, found_[i].size()), 0) << "output " << i;
        continue;
      }
      const auto* got = reinterpret_cast<const float*>(found_[i].data());
      const auto* want = static_cast<const float*>(case_.expected[i].data);
      for (size_t k = 0; k < found_[i].size() / 4; ++k)  // a NaN's bits are the processor's own
        ASSERT_TRUE(std::bit_cast<uint32_t>(got[k]) == std::bit_cast<uint32_t>(want[k]) ||
                    (std::isnan(got[k]) && std::isnan(want[k])))
            << "output " << i << ", element " << k << ": " << got[k] << ", not " << want[k];
    }
  }

 private:
  static TensorDesc describe(DType type, const Dims& shape) {
    TensorDesc d;
    d.dtype = type, d.shape = shape;
    return d;
  }
  Result<std::byte*> room(int64_t bytes) {
    FOVEA_TRY_SET(DeviceMemory m, device_.allocate(std::max<int64_t>(bytes, 1), DeviceMemory::Kind::kDevice));
    memory_.push_back(std::move(m));
    return memory_.back().data();
  }

  Device& device_;
  const NmsCase& case_;
  Group group_;
  std::vector<DeviceMemory> memory_;
  std::unique_ptr<DeviceStream> stream_;
  std::vector<std::vector<std::byte>> found_;
  int64_t size_ = -1;
};

// A hundred seeds each.
class NmsCuda : public testing::TestWithParam<uint32_t> {};

TEST_P(NmsCuda, KeepsWhatTheReferenceKeeps) {
  auto device = cuda::CudaDevice::open(0);
  if (!device.ok()) GTEST_SKIP() << device.status().message();
  for (uint32_t seed = GetParam() * 100; seed < (GetParam() + 1) * 100; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    NmsCase c;
    Status s = c.make(rng, seed % 8 == 0 ? 9000 : 150);
    ASSERT_TRUE(s.ok()) << s.message();
    NmsOnDevice on_device(**device, c);
    s = on_device.run();
    ASSERT_TRUE(s.ok()) << s.message();
    on_device.compare();
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Hundreds, NmsCuda, testing::Range(0u, 15u));

}  // namespace
}  // namespace fovea::core::test
