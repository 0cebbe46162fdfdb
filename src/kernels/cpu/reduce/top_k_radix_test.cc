// The selection by keys gives the very values and indices that the reference gives.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernels/cpu/table.h"
#include "kernels/reference/reference.h"
#include "ops/top_k.h"

namespace fovea::core::test {
namespace {

struct Result2 {
  std::shared_ptr<Tensor> values, indices;
  Status status;
};

Result2 top_k(const PreparedKernel* kernel, const TensorRef& x, int64_t axis, int64_t k, bool largest, int threads) {
  Dims dims(x.shape().begin(), x.shape().end());
  int64_t& size = dims[static_cast<size_t>(axis)];
  size = std::clamp<int64_t>(k, 0, size);
  Result2 r{*Tensor::allocate(DType::kFloat32, dims), *Tensor::allocate(DType::kInt64, dims), {}};
  const TensorPtr count = Tensor::of<int64_t>({1}, std::vector<int64_t>{k});
  const std::vector<TensorRef> inputs = {x, TensorRef::of(*count)};
  std::vector<TensorRef> outputs = {TensorRef::of(*r.values), TensorRef::of(*r.indices)};
  TopKAttrs a;
  a.axis = axis, a.largest = largest;
  const AttrsPtr attrs = make_attrs(a);
  Scratch scratch;
  KernelContext c;
  c.inputs = inputs, c.outputs = outputs, c.attributes = attrs.get(), c.scratch = &scratch, c.threads = threads;
  r.status = kernel ? kernel->run(c) : reference_TopK(c);
  return r;
}

float element(std::mt19937& rng, int kind) {
  constexpr float kOdd[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, -NAN, 1e-42f, -1e-42f, 3.4e38f, -3.4e38f, 1.0f};
  std::normal_distribution<float> normal;
  switch (kind) {
    case 0: return normal(rng);
    case 1: return static_cast<float>(rng() % 4);  // ties
    case 2: return kOdd[rng() % std::size(kOdd)];
    case 3: return rng() % 9 ? normal(rng) : kOdd[rng() % std::size(kOdd)];
    default: return 0.5f + 1e-6f * static_cast<float>(rng() % 100);  // all in one bin
  }
}

TEST(TopKRadix, GivesWhatTheReferenceGives) {
  std::mt19937 rng(11);
  const auto kernel = kernel_top_k_radix.prepare(PrepareContext{Group{}, {}, {}, 1, nullptr});
  ASSERT_TRUE(kernel.ok());
  for (int repeat = 0; repeat < 600; ++repeat) {
    const int64_t n = 1 + static_cast<int64_t>(rng() % (repeat % 10 ? 70 : 5000)),
                  k = repeat % 7 ? static_cast<int64_t>(rng()) % (n + 1) : n, axis = static_cast<int64_t>(rng() % 3);
    Dims dims = {static_cast<int64_t>(rng() % 4), 1 + static_cast<int64_t>(rng() % 5), 0};
    dims[2] = repeat % 3 ? static_cast<int64_t>(rng() % 3) : 17;
    dims[static_cast<size_t>(axis)] = n;
    Dims room = dims;  // the tensor is a part of this one, so that its elements lie apart
    const bool strided = rng() % 2;
    for (int64_t& d : room) d += strided ? static_cast<int64_t>(rng() % 3) : 0;
    auto memory = Tensor::allocate(DType::kFloat32, room);
    ASSERT_TRUE(memory.ok());
    auto* p = reinterpret_cast<float*>((*memory)->mutable_data());
    const int kind = static_cast<int>(rng() % 5);
    for (int64_t i = 0; i < (*memory)->count(); ++i) p[i] = element(rng, kind);
    TensorRef x = TensorRef::of(**memory);
    std::copy(dims.begin(), dims.end(), x.dims.begin());
    const bool largest = rng() % 2;
    const Result2 want = top_k(nullptr, x, axis, k, largest, 1),
                  got = top_k(kernel->get(), x, axis, k, largest, 1 + static_cast<int>(rng() % 3));
    ASSERT_TRUE(want.status.ok() && got.status.ok());
    // The bytes, so that NaN equals itself and -0 is not 0.
    ASSERT_TRUE(std::ranges::equal(got.indices->bytes(), want.indices->bytes())) << "repeat " << repeat;
    ASSERT_TRUE(std::ranges::equal(got.values->bytes(), want.values->bytes())) << "repeat " << repeat;
  }
}

TEST(TopKRadix, MoreThanThereAreIsAnError) {
  const auto kernel = kernel_top_k_radix.prepare(PrepareContext{Group{}, {}, {}, 1, nullptr});
  const TensorPtr x = Tensor::of<float>({3}, std::vector<float>{1, 2, 3});
  for (int64_t k : {int64_t{4}, int64_t{-1}, INT64_MAX})
    EXPECT_EQ(top_k(kernel->get(), TensorRef::of(*x), 0, k, true, 1).status.kind(), ErrorKind::kInvalidArgument);
}

}  // namespace
}  // namespace fovea::core::test
