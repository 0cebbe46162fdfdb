// The vectorised suppression keeps the very boxes that the reference keeps.
#include <gtest/gtest.h>

#include "kernels/cpu/table.h"
#include "kernels/reference/detect/nms_testing.h"
#include "kernels/reference/reference.h"
#include "ops/nms.h"

namespace fovea::core::test {
namespace {

struct Outputs {
  std::vector<std::shared_ptr<Tensor>> tensors;
  std::vector<TensorRef> refs;
};

Outputs padded(int64_t b, int64_t m) {
  Outputs o;
  const std::pair<DType, Dims> kinds[] = {{DType::kFloat32, {b, m, 4}},
                                          {DType::kFloat32, {b, m}},
                                          {DType::kInt64, {b, m}},
                                          {DType::kInt64, {b}},
                                          {DType::kInt64, {b, m}}};
  for (const auto& [type, dims] : kinds) {
    o.tensors.push_back(*Tensor::allocate(type, dims));
    o.refs.push_back(TensorRef::of(*o.tensors.back()));
  }
  return o;
}

// The bytes, so that NaN equals itself.
bool same_bytes(const Tensor& a, const Tensor& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

TEST(NmsVector, KeepsWhatTheReferenceKeeps) {
  std::mt19937 rng(7);
  const PrepareContext nothing{Group{}, {}, {}, 1, nullptr};
  const auto kernel = kernel_nms_vector.prepare(nothing);
  ASSERT_TRUE(kernel.ok());
  int64_t kept = 0, removed = 0;
  for (int repeat = 0; repeat < 400; ++repeat) {
    const Nasty nasty = static_cast<Nasty>(rng() % 3);
    const int64_t b = 1 + rng() % 2, n = 1 + rng() % 150, classes = 1 + rng() % 3;
    Scene s = random_scene(rng, b, n, rng() % 2 ? classes : 1, classes, nasty);
    if (rng() % 3 == 0)
      for (float& score : s.scores) score -= 0.5f;
    NmsAttrs a;
    a.box_form = static_cast<NmsBoxForm>(rng() % 5);
    a.group = rng() % 2 ? NmsGroup::kClass : NmsGroup::kNone;
    a.iou_compare = static_cast<NmsCompare>(rng() % 2);
    constexpr double kSigmas[] = {1e-60, 1e-4, 0.05, 0.3, 0.5, 4, 1e60};
    constexpr double kThresholds[] = {-0.5, 0, 0.25, 1.0 / 3, 0.5, 0.9, 1};
    a.iou_threshold = kThresholds[rng() % std::size(kThresholds)];
    a.iou_offset = rng() % 2;
    a.max_per_group = rng() % 3 == 0 ? static_cast<int64_t>(rng() % 40) : -1;
    if (rng() % 3 == 0) a.soft_sigma = kSigmas[rng() % std::size(kSigmas)];
    if (rng() % 2) a.score_threshold = 0.2;
    a.score_compare = static_cast<NmsCompare>(rng() % 2);
    a.max_total = n * classes;
    a.output = NmsOutput::kPadded;
    const AttrsPtr attrs = make_attrs(a);
    const TensorPtr boxes = s.box_tensor(), scores = s.score_tensor();
    const std::vector<TensorRef> inputs = {TensorRef::of(*boxes), TensorRef::of(*scores)};
    Outputs want = padded(b, a.max_total), got = padded(b, a.max_total);
    Scratch scratch;
    KernelContext c;
    c.inputs = inputs, c.attributes = attrs.get(), c.scratch = &scratch;
    c.outputs = want.refs;
    ASSERT_TRUE(reference_Nms(c).ok());
    c.outputs = got.refs;
    ASSERT_TRUE((*kernel)->run(c).ok());
    for (size_t i = 0; i < want.tensors.size(); ++i)
      ASSERT_TRUE(same_bytes(*got.tensors[i], *want.tensors[i])) << "output " << i << " of repeat " << repeat;
    for (int64_t count : want.tensors[3]->as<int64_t>()) kept += count, removed += n * classes - count;
  }
  EXPECT_GT(kept, 5000);
  EXPECT_GT(removed, 5000);
}

}  // namespace
}  // namespace fovea::core::test
