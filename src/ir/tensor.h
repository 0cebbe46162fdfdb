// Tensor: an immutable, dense constant. TensorRef: a strided look at memory that a kernel reads or writes.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"

namespace fovea::core {

inline constexpr int kMaxRank =
    8;  // of any tensor: kernels hold sizes in fixed arrays, so nothing is allocated in a run

using Dims = std::vector<int64_t>;

// Elements of a shape, or nullopt if a size is negative or the product overflows.
std::optional<int64_t> element_count(std::span<const int64_t> dims);

class Tensor {
 public:
  // Bytes that `owner` keeps alive. data.size() must be what dtype and dims need (checked).
  static Result<std::shared_ptr<const Tensor>> wrap(DType dtype, Dims dims, std::span<const std::byte> data,
                                                    std::shared_ptr<const void> owner);
  static Result<std::shared_ptr<const Tensor>> copy(DType dtype, Dims dims, std::span<const std::byte> data);
  // Zero-filled, to be written once through mutable_data() before it is shared.
  static Result<std::shared_ptr<Tensor>> allocate(DType dtype, Dims dims);
  static std::shared_ptr<const Tensor> strings(Dims dims, std::vector<std::string> values);

  template <typename T>
  static std::shared_ptr<const Tensor> of(Dims dims, std::span<const T> values) {
    auto t = copy(dtype_of<T>(), std::move(dims), std::as_bytes(values));
    return t.ok() ? *std::move(t) : nullptr;
  }
  template <typename T>
  static std::shared_ptr<const Tensor> of(Dims dims, std::initializer_list<T> values) {
    return of<T>(std::move(dims), std::span<const T>(values.begin(), values.size()));
  }
  template <typename T>
  static std::shared_ptr<const Tensor> scalar(T value) {
    return of<T>({}, std::span<const T>(&value, 1));
  }

  DType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  int64_t count() const { return count_; }
  std::span<const std::byte> bytes() const { return data_; }
  std::byte* mutable_data() { return const_cast<std::byte*>(data_.data()); }
  const std::vector<std::string>& string_values() const { return strings_; }

  template <typename T>
  std::span<const T> as() const {  // dtype() must be dtype_of<T>()
    return {reinterpret_cast<const T*>(data_.data()), static_cast<size_t>(count_)};
  }
  // Any integer or bool type, widened; empty for others.
  std::vector<int64_t> to_ints() const;
  // Any real type that a C++ number can hold, converted; empty for others.
  std::vector<double> to_doubles() const;
  bool same_as(const Tensor& other) const;  // dtype, dims and bytes

 private:
  DType dtype_ = DType::kUndefined;
  Dims dims_;
  int64_t count_ = 0;
  std::span<const std::byte> data_;
  std::shared_ptr<const void> owner_;
  std::vector<std::string> strings_;
};
using TensorPtr = std::shared_ptr<const Tensor>;

// A tensor in memory as a kernel sees it. Strides are in elements; sub-byte types are dense only.
struct TensorRef {
  DType dtype = DType::kUndefined;
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{};
  std::array<int64_t, kMaxRank> strides{};
  void* data = nullptr;  // null for an absent optional input; may also be null where there are no elements

  std::span<const int64_t> shape() const { return {dims.data(), static_cast<size_t>(rank)}; }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[static_cast<size_t>(i)];
    return n;
  }
  bool present() const { return dtype != DType::kUndefined; }
  bool dense() const;                              // row-major without gaps
  void set_shape(std::span<const int64_t> shape);  // dense strides

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }

  static TensorRef of(const Tensor& tensor);  // reading only
  static TensorRef dense_of(DType dtype, std::span<const int64_t> shape, void* data);
};

}  // namespace fovea::core
