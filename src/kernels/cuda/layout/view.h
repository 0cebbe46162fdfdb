// Tensors as strided memory. One in NHWC8 is one with strides: what copies plain tensors copies it too, its padded
// channels with the others.
#pragma once

#include <array>

#include "kernels/cuda/common.h"
#include "kernels/cuda/layout/reformat.h"

namespace fovea::core::cuda {

inline int64_t padded(int64_t channels) { return (channels + 7) / 8 * 8; }

struct View {
  std::byte* data = nullptr;
  ElementType type = ElementType::kFloat32;
  int64_t bytes = 4;  // of an element
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{}, strides{};
  bool packed = false;

  void skip(size_t axis, int64_t count) { data += strides[axis] * count * bytes; }
};

View view_of(const TensorRef& t, Layout layout);

// The order in which the dimensions of `to` lie in memory, for nested loops.
std::array<size_t, kMaxRank> memory_order(const View& to);

// A copy of all that `to` has room for. Between two packed tensors the lanes that fill up the channels go along.
ReformatArgs copy_of(const View& from, const View& to);

struct Layouts {
  Layout from = Layout::kPlain, to = Layout::kPlain;
};
Layouts layouts_of(const PrepareContext& c);

// Copies that are collected and launched together.
class Parts {
 public:
  explicit Parts(cudaStream_t stream) : stream_(stream) {}
  Status add(const View& from, const View& to);
  Status finish();

 private:
  cudaStream_t stream_;
  size_t count_ = 0;
  std::array<ReformatArgs, 16> parts_;
};

}  // namespace fovea::core::cuda
