// Every change of layout against its definition, element by element, with fences, odd sizes and strided plain tensors.
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "kernels/cpu/row_runner.h"

namespace fovea::core {
namespace {

constexpr Layout kAll[] = {Layout::kPlain, Layout::kNhwc, Layout::kC8, Layout::kC16};

int64_t offset(Layout layout, const Dims& d, int64_t n, int64_t c, int64_t h, int64_t w) {
  const int64_t b = layout == Layout::kC8 ? 8 : 16, blocks = (d[1] + b - 1) / b;
  switch (layout) {
    case Layout::kPlain: return ((n * d[1] + c) * d[2] + h) * d[3] + w;
    case Layout::kNhwc: return ((n * d[2] + h) * d[3] + w) * d[1] + c;
    default: return (((n * blocks + c / b) * d[2] + h) * d[3] + w) * b + c % b;
  }
}

template <typename F>
void for_each(const Dims& d, F&& f) {
  for (int64_t n = 0; n < d[0]; ++n)
    for (int64_t c = 0; c < d[1]; ++c)
      for (int64_t h = 0; h < d[2]; ++h)
        for (int64_t w = 0; w < d[3]; ++w) f(n, c, h, w);
}

// An element's value tells where it belongs.
template <typename T>
T value(const Dims& d, int64_t n, int64_t c, int64_t h, int64_t w) {
  return static_cast<T>(1 + offset(Layout::kPlain, d, n, c, h, w));
}

template <typename T>
void check(DType dtype, const Dims& d, Layout from, Layout to, int threads) {
  SCOPED_TRACE(fmt::format("{} [{}] {} -> {}, {} threads", to_string(dtype), fmt::join(d, ","), to_string(from),
                           to_string(to), threads));
  auto bytes = [&](Layout l) { return storage_elements(l, d) * static_cast<int64_t>(sizeof(T)); };
  rows::Fenced a(bytes(from)), b(bytes(to));
  std::memset(a.data(), 0, static_cast<size_t>(bytes(from)));
  auto *source = reinterpret_cast<T*>(a.data()), *target = reinterpret_cast<T*>(b.data());
  for_each(d, [&](auto... i) { source[offset(from, d, i...)] = value<T>(d, i...); });
  Status s =
      reformat(TensorRef::dense_of(dtype, d, a.data()), from, TensorRef::dense_of(dtype, d, b.data()), to, threads);
  ASSERT_TRUE(s.ok()) << s.message();
  int64_t wrong = 0;
  uint64_t sum = 0, expected = 0;
  for_each(
      d, [&](auto... i) { wrong += target[offset(to, d, i...)] != value<T>(d, i...), expected += value<T>(d, i...); });
  for (int64_t i = 0; i < storage_elements(to, d); ++i) sum += target[i];
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(sum, expected) << "padding is not zero";
  EXPECT_TRUE(a.intact() && b.intact());
}

TEST(Reformat, EveryPairOfLayouts) {
  const Dims shapes[] = {{1, 1, 1, 1},    {2, 3, 5, 7},  {1, 8, 8, 8},   {2, 16, 3, 9},
                         {1, 17, 38, 38}, {3, 24, 1, 1}, {2, 340, 5, 5}, {1, 40, 2, 300},
                         {1, 33, 300, 1}, {0, 4, 4, 4},  {2, 0, 4, 4}};
  for (const Dims& d : shapes)
    for (Layout from : kAll)
      for (Layout to : kAll)
        for (int threads : {1, 2, 3}) {
          check<uint32_t>(DType::kFloat32, d, from, to, threads);
          check<uint8_t>(DType::kUInt8, d, from, to, threads);
          check<uint16_t>(DType::kFloat16, d, from, to, threads);
          check<uint64_t>(DType::kInt64, d, from, to, threads);
        }
}

TEST(Reformat, KeepsTheBitsOfNaN) {
  const Dims d = {1, 16, 8, 8};
  std::vector<uint32_t> in(1024, 0x7f800001u), out(1024);
  ASSERT_TRUE(reformat(TensorRef::dense_of(DType::kFloat32, d, in.data()), Layout::kPlain,
                       TensorRef::dense_of(DType::kFloat32, d, out.data()), Layout::kC16, 2)
                  .ok());
  EXPECT_EQ(in, out);
}

TEST(Reformat, PlainMayHaveAnyStrides) {
  constexpr uint32_t kSeed = 7;
  std::mt19937 rng(kSeed);
  for (int round = 0; round < 50; ++round) {
    Dims d(4);
    for (auto& s : d) s = 1 + static_cast<int64_t>(rng() % 9);
    std::array<size_t, 4> order = {0, 1, 2, 3};
    std::shuffle(order.begin(), order.end(), rng);
    TensorRef from = TensorRef::dense_of(DType::kFloat32, d, nullptr);
    int64_t stride = 1 + static_cast<int64_t>(rng() % 2);
    for (size_t k : order) from.strides[k] = stride, stride *= d[k] + static_cast<int64_t>(rng() % 2);
    std::vector<uint32_t> memory(static_cast<size_t>(stride) + 8);
    from.data = memory.data();
    auto at = [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      return static_cast<size_t>(n * from.strides[0] + c * from.strides[1] + h * from.strides[2] + w * from.strides[3]);
    };
    for_each(d, [&](auto... i) { memory[at(i...)] = value<uint32_t>(d, i...); });
    for (Layout to : kAll) {
      std::vector<uint32_t> out(static_cast<size_t>(storage_elements(to, d)), 99);
      ASSERT_TRUE(reformat(from, Layout::kPlain, TensorRef::dense_of(DType::kFloat32, d, out.data()), to, 2).ok());
      for_each(d, [&](auto... i) {
        ASSERT_EQ(out[static_cast<size_t>(offset(to, d, i...))], value<uint32_t>(d, i...))
            << "seed " << kSeed << " round " << round;
      });
      std::fill(memory.begin(), memory.end(), 0u);
      ASSERT_TRUE(reformat(TensorRef::dense_of(DType::kFloat32, d, out.data()), to, from, Layout::kPlain, 2).ok());
      for_each(d, [&](auto... i) { ASSERT_EQ(memory[at(i...)], value<uint32_t>(d, i...)); });
    }
  }
}

TEST(Reformat, PlainOfAnyRank) {
  for (const Dims& d : {Dims{}, Dims{7}, Dims{2, 3, 4, 5, 2}}) {
    const int64_t n = std::accumulate(d.begin(), d.end(), int64_t{1}, std::multiplies<>());
    std::vector<uint16_t> in(static_cast<size_t>(n)), out(in.size());
    std::iota(in.begin(), in.end(), uint16_t{1});
    ASSERT_TRUE(reformat(TensorRef::dense_of(DType::kInt16, d, in.data()), Layout::kPlain,
                         TensorRef::dense_of(DType::kInt16, d, out.data()), Layout::kPlain, 1)
                    .ok());
    EXPECT_EQ(in, out);
  }
}

TEST(Reformat, RefusesWhatItCannotMove) {
  const Dims d = {1, 2, 2, 2}, other = {1, 2, 2, 3}, three = {1, 2, 2};
  std::vector<std::byte> memory(256);
  auto ref = [&](DType t, const Dims& s) { return TensorRef::dense_of(t, s, memory.data()); };
  EXPECT_EQ(reformat(ref(DType::kFloat32, d), Layout::kPlain, ref(DType::kFloat32, other), Layout::kC16, 1).kind(),
            ErrorKind::kInternal);
  EXPECT_EQ(reformat(ref(DType::kFloat32, three), Layout::kPlain, ref(DType::kFloat32, three), Layout::kC16, 1).kind(),
            ErrorKind::kInternal);
  EXPECT_EQ(reformat(ref(DType::kInt4, d), Layout::kPlain, ref(DType::kInt4, d), Layout::kC16, 1).kind(),
            ErrorKind::kUnsupported);
}

}  // namespace
}  // namespace fovea::core
