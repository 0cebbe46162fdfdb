#include "kernels/cuda/layout/view.h"

#include <utility>

namespace fovea::core::cuda {
namespace {

ElementType element_of(DType type) {
  if (type == DType::kFloat32) return ElementType::kFloat32;
  if (type == DType::kFloat16) return ElementType::kFloat16;
  switch (dtype_bits(type)) {
    case 8: return ElementType::kRaw1;
    case 16: return ElementType::kRaw2;
    case 32: return ElementType::kRaw4;
    default: return ElementType::kRaw8;
  }
}

}  // namespace

View view_of(const TensorRef& t, Layout layout) {
  View v;
  v.data = static_cast<std::byte*>(t.data);
  v.type = element_of(t.dtype);
  v.bytes = dtype_bits(t.dtype) / 8;
  v.rank = t.rank, v.dims = t.dims, v.strides = t.strides;
  if (layout == Layout::kNhwc8) {
    const int64_t c = padded(t.dims[1]);
    v.packed = true;
    v.strides[0] = t.dims[2] * t.dims[3] * c, v.strides[1] = 1, v.strides[2] = t.dims[3] * c, v.strides[3] = c;
  }
  return v;
}

std::array<size_t, kMaxRank> memory_order(const View& to) {
  std::array<size_t, kMaxRank> order{0, 1, 2, 3, 4, 5, 6, 7};
  if (to.packed) order[1] = 2, order[2] = 3, order[3] = 1;
  return order;
}

ReformatArgs copy_of(const View& from, const View& to) {
  ReformatArgs a;
  a.from = from.data, a.to = to.data, a.from_type = from.type, a.to_type = to.type, a.rank = to.rank;
  const auto order = memory_order(to);
  for (size_t i = 0; i < static_cast<size_t>(to.rank); ++i) {
    const size_t d = order[i];
    a.shape[i] = to.packed && d == 1 ? padded(to.dims[d]) : to.dims[d];
    a.from_strides[i] = from.strides[d], a.to_strides[i] = to.strides[d];
  }
  return a;
}

Layouts layouts_of(const PrepareContext& c) {
  Layouts l{c.inputs[0].layout, Layout::kPlain};
  for (const TensorDesc& d : c.outputs)
    if (d.dtype != DType::kUndefined) l.to = d.layout;
  return l;
}

Status Parts::add(const View& from, const View& to) {
  if (count_ == parts_.size()) FOVEA_TRY(finish());
  parts_[count_++] = copy_of(from, to);
  return {};
}
Status Parts::finish() {
  const auto count = static_cast<int>(std::exchange(count_, 0));
  return check(reformat_tensors(parts_.data(), count, stream_), "copy of parts");
}

}  // namespace fovea::core::cuda
