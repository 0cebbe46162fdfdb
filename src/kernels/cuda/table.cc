// The rows, and the one change of format, as the device offers them.
#include "kernels/cuda/table.h"

#include "backends/cuda/cuda.h"
#include "kernels/cuda/layout/reformat.h"

namespace fovea::core {
namespace {

#define FOVEA_KERNEL(symbol, family, file) &kernel_##symbol,
constexpr const KernelRow* kRows[] = {
#include "kernels/cuda/kernels.inc"
    nullptr,  // so that the array is never empty
};
#undef FOVEA_KERNEL

}  // namespace

std::span<const KernelRow* const> cuda_kernels() { return {kRows, std::size(kRows) - 1}; }

}  // namespace fovea::core

namespace fovea::core::cuda {
namespace {

std::optional<ElementType> element_type(DType type) {
  if (type == DType::kFloat32) return ElementType::kFloat32;
  if (type == DType::kFloat16) return ElementType::kFloat16;
  switch (dtype_bits(type)) {
    case 8: return ElementType::kRaw1;
    case 16: return ElementType::kRaw2;
    case 32: return ElementType::kRaw4;
    case 64: return ElementType::kRaw8;
    default: return std::nullopt;
  }
}

std::optional<CopyLayout> copy_layout(Layout layout) {
  if (layout == Layout::kPlain) return CopyLayout::kPlain;
  if (layout == Layout::kNhwc8) return CopyLayout::kNhwc8;
  return std::nullopt;
}

}  // namespace

std::span<const KernelRow* const> CudaDevice::kernels() const { return cuda_kernels(); }

Status CudaDevice::reformat(DeviceStream& stream, const TensorRef& from, const Format& from_format, const TensorRef& to,
                            const Format& to_format) {
  FOVEA_TRY(make_current());
  const auto a = element_type(from.dtype), b = element_type(to.dtype);
  const auto x = copy_layout(from_format.layout), y = copy_layout(to_format.layout);
  if (!a || !b || !x || !y)
    return internal_error("no way on {} from {} {} to {} {}", name_, to_string(from.dtype), to_string(from_format),
                          to_string(to.dtype), to_string(to_format));
  ReformatArgs args;
  args.from = from.data, args.to = to.data, args.from_type = *a, args.to_type = *b;
  args.from_layout = *x, args.to_layout = *y;
  args.rank = static_cast<int>(from.shape().size());
  for (size_t i = 0; i < from.shape().size(); ++i) {
    args.shape[i] = from.shape()[i];
    args.from_strides[i] = from.strides[i], args.to_strides[i] = to.strides[i];
  }
  return check(reformat_tensor(args, static_cast<Stream&>(stream).handle()), "reformat");
}

}  // namespace fovea::core::cuda
