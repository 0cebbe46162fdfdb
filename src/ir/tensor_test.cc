#include "ir/tensor.h"

#include <gtest/gtest.h>

#include <limits>

namespace fovea::core {
namespace {

TEST(Tensor, CountsThatAreImpossible) {
  const int64_t big = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(element_count(Dims{}), 1);
  EXPECT_EQ(element_count(Dims{3, 0, 5}), 0);
  EXPECT_EQ(element_count(Dims{big, 0}), 0);
  EXPECT_EQ(element_count(Dims{big, 2}), std::nullopt);
  EXPECT_EQ(element_count(Dims{-1}), std::nullopt);
  EXPECT_FALSE(Tensor::allocate(DType::kFloat32, {big}).ok());
  EXPECT_FALSE(Tensor::allocate(DType::kUndefined, {1}).ok());
  EXPECT_FALSE(Tensor::allocate(DType::kFloat64, {int64_t{1} << 55}).ok());  // more than there is memory
}

TEST(Tensor, SizesAreChecked) {
  const std::byte bytes[12] = {};
  EXPECT_TRUE(Tensor::copy(DType::kFloat32, {3}, bytes).ok());
  EXPECT_FALSE(Tensor::copy(DType::kFloat32, {2}, bytes).ok());
  EXPECT_FALSE(Tensor::wrap(DType::kFloat32, {4}, bytes, nullptr).ok());
  auto packed = Tensor::copy(DType::kInt4, {3, 8}, bytes);  // two elements a byte
  ASSERT_TRUE(packed.ok());
  EXPECT_EQ((*packed)->count(), 24);
}

TEST(Tensor, Converts) {
  EXPECT_EQ(Tensor::of<int8_t>({2}, {-1, 5})->to_ints(), (std::vector<int64_t>{-1, 5}));
  EXPECT_EQ(Tensor::of<bool>({2}, {true, false})->to_ints(), (std::vector<int64_t>{1, 0}));
  EXPECT_TRUE(Tensor::of<float>({1}, {1})->to_ints().empty());
  EXPECT_EQ(Tensor::of<Half>({1}, {Half(1.5f)})->to_doubles(), std::vector<double>{1.5});
  EXPECT_EQ(Tensor::scalar<int64_t>(9)->to_doubles(), std::vector<double>{9});
}

TEST(Tensor, SameMeansBits) {
  auto zero = Tensor::scalar<float>(0.0f), minus = Tensor::scalar<float>(-0.0f),
       nan = Tensor::scalar(std::numeric_limits<float>::quiet_NaN());
  EXPECT_FALSE(zero->same_as(*minus));
  EXPECT_TRUE(nan->same_as(*Tensor::scalar(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_FALSE(zero->same_as(*Tensor::of<float>({1}, {0.0f})));
  EXPECT_FALSE(Tensor::strings({1}, {"a"})->same_as(*Tensor::strings({1}, {"b"})));
}

TEST(TensorRef, Dense) {
  float data[12];
  const int64_t shape[] = {3, 4};
  TensorRef r = TensorRef::dense_of(DType::kFloat32, shape, data);
  EXPECT_TRUE(r.dense());
  EXPECT_EQ(r.count(), 12);
  r.strides = {1, 3};
  EXPECT_FALSE(r.dense());
  r.dims = {3, 1}, r.strides = {1, 77};  // a stride that is never taken
  EXPECT_TRUE(r.dense());
  r.dims = {0, 4}, r.strides = {9, 9};
  EXPECT_TRUE(r.dense());
  EXPECT_FALSE(TensorRef{}.present());
}

}  // namespace
}  // namespace fovea::core
