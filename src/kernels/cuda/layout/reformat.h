// Copies of tensors in the device's memory that change strides, layout or element type.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace fovea::core::cuda {

inline constexpr int kCopyRank = 8;

// What matters of an element: how to convert it, or just its size.
enum class ElementType : uint8_t { kFloat32, kFloat16, kRaw1, kRaw2, kRaw4, kRaw8 };
// As fovea's, which device code does not see.
namespace copying {
enum class Layout : uint8_t { kPlain, kNhwc8 };
}
using CopyLayout = copying::Layout;

struct ReformatArgs {
  const void* from = nullptr;
  void* to = nullptr;
  ElementType from_type = ElementType::kFloat32, to_type = ElementType::kFloat32;
  CopyLayout from_layout = CopyLayout::kPlain, to_layout = CopyLayout::kPlain;
  int rank = 0;
  int64_t shape[kCopyRank] = {};  // logical: N, C, H, W whatever the layout
  // In elements, where the layout is plain; any sign, zero too for `from`.
  int64_t from_strides[kCopyRank] = {}, to_strides[kCopyRank] = {};
};

// Only launches. from and to must not overlap. Types differ only between float32 and float16; kNhwc8 is of these two,
// or raw of their sizes, and its lanes that no channel fills become zero. cudaErrorNotSupported for the rest.
cudaError_t reformat_tensor(const ReformatArgs& args, cudaStream_t stream);
// Several that do not depend on each other, in one launch where they all copy rows.
cudaError_t reformat_tensors(const ReformatArgs* args, int count, cudaStream_t stream);

}  // namespace fovea::core::cuda
