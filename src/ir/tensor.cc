#include "ir/tensor.h"

#include <cstring>

namespace fovea::core {

std::optional<int64_t> element_count(std::span<const int64_t> dims) {
  int64_t n = 1;
  bool zero = false;
  for (int64_t d : dims) {
    if (d < 0) return std::nullopt;
    if (d == 0) zero = true;
    else if (__builtin_mul_overflow(n, d, &n)) return std::nullopt;
  }
  return zero ? 0 : n;
}

Result<TensorPtr> Tensor::wrap(DType dtype, Dims dims, std::span<const std::byte> data,
                               std::shared_ptr<const void> owner) {
  auto count = element_count(dims);
  auto bytes = count ? dtype_bytes(dtype, *count) : std::nullopt;
  if (!bytes) return invalid_model("a tensor of {} has impossible dimensions", to_string(dtype));
  if (static_cast<int64_t>(data.size()) != *bytes)
    return invalid_model("a {} tensor of {} elements needs {} bytes, found {}", to_string(dtype), *count, *bytes,
                         data.size());
  auto t = std::make_shared<Tensor>();
  t->dtype_ = dtype, t->dims_ = std::move(dims), t->count_ = *count, t->data_ = data, t->owner_ = std::move(owner);
  return TensorPtr(std::move(t));
}

Result<TensorPtr> Tensor::copy(DType dtype, Dims dims, std::span<const std::byte> data) {
  FOVEA_TRY_SET(auto t, allocate(dtype, std::move(dims)));
  if (t->data_.size() != data.size())
    return invalid_model("a {} tensor of {} elements needs {} bytes, found {}", to_string(dtype), t->count_,
                         t->data_.size(), data.size());
  if (!data.empty()) std::memcpy(t->mutable_data(), data.data(), data.size());
  return TensorPtr(std::move(t));
}

Result<std::shared_ptr<Tensor>> Tensor::allocate(DType dtype, Dims dims) {
  auto count = element_count(dims);
  auto bytes = count ? dtype_bytes(dtype, *count) : std::nullopt;
  if (!bytes) return invalid_model("a tensor of {} has impossible dimensions", to_string(dtype));
  // 64-byte aligned, so that vector kernels may read constants with aligned loads.
  auto* memory =
      static_cast<std::byte*>(::operator new(static_cast<size_t>(*bytes) + 1, std::align_val_t(64), std::nothrow));
  if (!memory) return system_error("out of memory: {} bytes for a tensor", *bytes);
  std::memset(memory, 0, static_cast<size_t>(*bytes));
  auto t = std::make_shared<Tensor>();
  t->owner_ = std::shared_ptr<const void>(
      memory, [](const void* p) { ::operator delete(const_cast<void*>(p), std::align_val_t(64)); });
  t->dtype_ = dtype, t->dims_ = std::move(dims), t->count_ = *count, t->data_ = {memory, static_cast<size_t>(*bytes)};
  return t;
}

TensorPtr Tensor::strings(Dims dims, std::vector<std::string> values) {
  auto t = std::make_shared<Tensor>();
  t->dtype_ = DType::kString, t->dims_ = std::move(dims), t->count_ = static_cast<int64_t>(values.size());
  t->strings_ = std::move(values);
  return t;
}

std::vector<int64_t> Tensor::to_ints() const {
  std::vector<int64_t> out;
  if (!is_integer(dtype_) && dtype_ != DType::kBool) return out;
  dispatch_dtype(dtype_, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>)
      for (T v : as<T>()) out.push_back(static_cast<int64_t>(v));
  });
  return out;
}

std::vector<double> Tensor::to_doubles() const {
  std::vector<double> out;
  dispatch_dtype(dtype_, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (const T& v : as<T>()) {
      if constexpr (std::is_arithmetic_v<T>) out.push_back(static_cast<double>(v));
      else out.push_back(static_cast<float>(v));
    }
  });
  return out;
}

bool Tensor::same_as(const Tensor& o) const {
  return dtype_ == o.dtype_ && dims_ == o.dims_ && strings_ == o.strings_ && data_.size() == o.data_.size() &&
         (data_.empty() || std::memcmp(data_.data(), o.data_.data(), data_.size()) == 0);
}

bool TensorRef::dense() const {
  if (count() == 0) return true;
  int64_t expected = 1;
  for (int i = rank - 1; i >= 0; --i) {
    auto k = static_cast<size_t>(i);
    if (dims[k] != 1 && strides[k] != expected) return false;
    expected *= dims[k];
  }
  return true;
}

void TensorRef::set_shape(std::span<const int64_t> shape) {
  rank = static_cast<int>(shape.size());
  int64_t stride = 1;
  for (int i = rank - 1; i >= 0; --i) {
    auto k = static_cast<size_t>(i);
    dims[k] = shape[k], strides[k] = stride;
    stride *= shape[k];
  }
}

TensorRef TensorRef::dense_of(DType dtype, std::span<const int64_t> shape, void* data) {
  TensorRef r;
  r.dtype = dtype, r.data = data;
  r.set_shape(shape);
  return r;
}

TensorRef TensorRef::of(const Tensor& tensor) {
  return dense_of(tensor.dtype(), tensor.dims(), const_cast<std::byte*>(tensor.bytes().data()));
}

}  // namespace fovea::core
