// Tensor: typed, dense, row-major memory, owned or borrowed.
#pragma once

#include <fovea/device.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fovea {

// ONNX's element types, with ONNX's numbers.
enum class ElementType : uint8_t {
  kUndefined = 0,
  kFloat32 = 1,
  kUInt8 = 2,
  kInt8 = 3,
  kUInt16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kFloat64 = 11,
  kUInt32 = 12,
  kUInt64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBFloat16 = 16,
  kFloat8E4M3FN = 17,
  kFloat8E4M3FNUZ = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2FNUZ = 20,
  kUInt4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUInt2 = 25,
  kInt2 = 26,
};

FOVEA_API const char* to_string(ElementType type) noexcept;  // "float32"

class FOVEA_API Tensor {
 public:
  Tensor() = default;
  // Zero-filled host memory of its own. Throws InvalidArgument for negative or impossible sizes.
  Tensor(ElementType type, std::vector<int64_t> shape);
  // A look at host memory that the caller keeps alive; row-major without gaps. `bytes` is checked against type and
  // shape.
  static Tensor borrow(ElementType type, std::vector<int64_t> shape, void* data, size_t bytes);
  static Tensor borrow(ElementType type, std::vector<int64_t> shape, const void* data, size_t bytes);
  // A look at a device's memory, for runs on that device; for the CPU as above. Throws InvalidArgument if `data` is no
  // memory of the device.
  static Tensor borrow(ElementType type, std::vector<int64_t> shape, void* data, size_t bytes, const Device& device);
  static Tensor borrow(ElementType type, std::vector<int64_t> shape, const void* data, size_t bytes,
                       const Device& device);

  const Device& device() const { return device_; }  // where data() points: only there may it be read and written
  ElementType type() const { return type_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t count() const;  // elements
  // Room behind data(). At least what type and shape need; more where borrow() was given more, or where a run made the
  // shape of an output smaller.
  size_t bytes() const { return bytes_; }
  bool read_only() const { return read_only_; }  // cannot be an output; do not write through data() or as()
  void* data() { return data_; }
  const void* data() const { return data_; }
  template <typename T>
  T* as() {
    return static_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }

 private:
  friend class Context;
  Device device_;
  ElementType type_ = ElementType::kUndefined;
  std::vector<int64_t> shape_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  bool read_only_ = false;
  std::shared_ptr<void> owner_;
};

}  // namespace fovea
