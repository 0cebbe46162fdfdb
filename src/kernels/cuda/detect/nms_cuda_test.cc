// Attributes at random, all output forms: the device keeps the very boxes that the reference keeps, also where their
// number depends on data, which cases of one line cannot say.
#include "kernels/cuda/cuda_runner.h"
#include "kernels/cuda/detect/nms_cuda_testing.h"
#include "kernels/reference/detect/nms_frontends.h"

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
  if (rng() % 3 == 0) a.soft_sigma = pick(rng, {1e-60, 1e-3, 0.05, 0.3, 0.5, 4.});
  return a;
}

// One list an image, too long for one block, of which a part alone is looked at.
void lengthen(std::mt19937& rng, NmsAttrs& a) {
  a.candidates = NmsCandidates::kPerClass, a.classes_per_box = 1;
  a.pre_top_k_of = NmsScope::kImage;
  a.pre_top_k = pick<int64_t>(rng, {1, 300, 1500, 5000, 17000});
  if (a.soft_sigma > 0) a.max_per_group = pick<int64_t>(rng, {1, 20, 200});
  if (rng() % 4 == 0) a.iou_threshold = 2;
}

// A list a class, of which the best few take part: images that take turns leave no more of it.
void limit_classes(std::mt19937& rng, NmsAttrs& a) {
  a.candidates = NmsCandidates::kPerClass, a.classes_per_box = 1;
  a.group = NmsGroup::kClass, a.pre_top_k_of = NmsScope::kGroup;
  a.pre_top_k = pick<int64_t>(rng, {1, 50, 256, 500});
}

enum class Lists { kAny, kOfClasses, kLong };
Status make_random(std::mt19937& rng, NmsCase& c, int64_t most_boxes, Lists lists = Lists::kAny) {
  const bool is_long = lists == Lists::kLong, of_classes = lists == Lists::kOfClasses;
  const int64_t images = 1 + rng() % 3,
                classes = of_classes ? 2 + rng() % 4 : pick<int64_t>(rng, {1, 1, 2, 3, 5, 40, 100});
  const int64_t boxes = of_classes ? 1024 + rng() % 3000
                        : is_long
                            ? (34000 + rng() % 9000) / classes
                            : std::min<int64_t>(rng() % 20 == 0 ? rng() % 2 : 1 + rng() % most_boxes, 40000 / classes);
  const auto nasty = static_cast<Nasty>(rng() % 3);
  Scene s = random_scene(rng, images, boxes, rng() % 3 == 0 ? classes : 1, classes, nasty);
  if (rng() % 3 == 0)
    for (float& score : s.scores) score -= 0.5f;
  NmsAttrs a = random_attributes(rng, images);
  if (is_long) lengthen(rng, a);
  if (of_classes) limit_classes(rng, a);
  std::vector<TensorPtr> inputs(6);
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
  const bool rows = a.output == NmsOutput::kPadded || a.output == NmsOutput::kDetections;
  return c.make(make_attrs(a), std::move(inputs), rows ? 5 : 2);
}

// A hundred seeds each.
class NmsCuda : public testing::TestWithParam<uint32_t> {};

TEST_P(NmsCuda, KeepsWhatTheReferenceKeeps) {
  if (!gpu().device) GTEST_SKIP() << gpu().why;
  for (uint32_t seed = GetParam() * 100; seed < (GetParam() + 1) * 100; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    NmsCase c;
    Status s = make_random(rng, c, seed % 8 == 0 ? 9000 : 150);
    ASSERT_TRUE(s.ok()) << s.message();
    NmsOnDevice on_device(*gpu().device, c);
    s = on_device.run();
    ASSERT_TRUE(s.ok()) << s.message();
    on_device.compare();
    if (HasFatalFailure()) return;
  }
}

// Images that take turns with the memory of candidates keep the same.
TEST_P(NmsCuda, KeepsTheSameImageByImage) {
  if (!gpu().device) GTEST_SKIP() << gpu().why;
  for (uint32_t seed = GetParam() * 20; seed < (GetParam() + 1) * 20; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    NmsCase c;
    Status s = make_random(rng, c, 150,
                           seed % 20 == 0  ? Lists::kLong
                           : seed % 5 == 1 ? Lists::kOfClasses
                                           : Lists::kAny);
    ASSERT_TRUE(s.ok()) << s.message();
    for (bool of_heads : {false, true})
      for (int64_t images : {1, 2}) {
        SCOPED_TRACE(fmt::format("{} at once{}", images, of_heads ? ", of heads" : ""));
        NmsOnDevice on_device(*gpu().device, c);
        s = on_device.run_in_turns(images, of_heads);
        ASSERT_TRUE(s.ok()) << s.message();
        on_device.compare();
        if (HasFatalFailure()) return;
      }
  }
}

TEST_P(NmsCuda, KeepsWhatTheReferenceKeepsOfLongLists) {
  if (!gpu().device) GTEST_SKIP() << gpu().why;
  for (uint32_t seed = GetParam() * 10; seed < (GetParam() + 1) * 10; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 rng(seed);
    NmsCase c;
    Status s = make_random(rng, c, 0, Lists::kLong);
    ASSERT_TRUE(s.ok()) << s.message();
    NmsOnDevice on_device(*gpu().device, c);
    s = on_device.run();
    ASSERT_TRUE(s.ok()) << s.message();
    on_device.compare();
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Hundreds, NmsCuda, testing::Range(0u, 15u));

Result<std::vector<TensorPtr>> run_on_device(const AttrsPtr& attributes, const std::vector<TensorPtr>& inputs,
                                             int outputs, bool) {
  NmsCase c;
  FOVEA_TRY(c.make(attributes, inputs, static_cast<size_t>(outputs)));
  NmsOnDevice on_device(*gpu().device, c);
  FOVEA_TRY(on_device.run());
  return on_device.outputs();
}
std::string no_device() { return gpu().device ? "" : gpu().why; }

INSTANTIATE_TEST_SUITE_P(Device, NmsFrontends, testing::Values(NmsWay{"nms_cuda", run_on_device, no_device}), name_of);

}  // namespace
}  // namespace fovea::core::test
