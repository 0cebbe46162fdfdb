#include <fovea/tensor.h>

#include "api/bridge.h"
#include "api/runtime/device_impl.h"
#include "ir/tensor.h"

namespace fovea {
namespace {

core::DType inner(ElementType type) { return static_cast<core::DType>(type); }

size_t bytes_of(ElementType type, const std::vector<int64_t>& shape) {
  auto count = core::element_count(shape);
  auto bytes = count ? core::dtype_bytes(inner(type), *count) : std::nullopt;
  if (!bytes)
    throw Error(ErrorCode::kInvalidArgument, std::string("a tensor of ") + to_string(type) + " cannot have this shape");
  return static_cast<size_t>(*bytes);
}

}  // namespace

const char* to_string(ElementType type) noexcept { return core::to_string(inner(type)).data(); }

Tensor::Tensor(ElementType type, std::vector<int64_t> shape) : type_(type), shape_(std::move(shape)) {
  edge([&] {
    bytes_of(type_, shape_);
    auto memory = take(core::Tensor::allocate(inner(type_), shape_));
    bytes_ = memory->bytes().size();
    data_ = memory->mutable_data();
    owner_ = std::static_pointer_cast<void>(memory);
  });
}

Tensor Tensor::borrow(ElementType type, std::vector<int64_t> shape, void* data, size_t bytes) {
  return edge([&] {
    const size_t needed = bytes_of(type, shape);
    if (bytes < needed)
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("a tensor of this shape needs {} bytes, found {}", needed, bytes));
    if (needed > 0 && !data)
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("a tensor of this shape needs {} bytes, found a null pointer", needed));
    Tensor t;
    t.type_ = type, t.shape_ = std::move(shape), t.data_ = data, t.bytes_ = bytes;
    return t;
  });
}

Tensor Tensor::borrow(ElementType type, std::vector<int64_t> shape, const void* data, size_t bytes) {
  Tensor t = borrow(type, std::move(shape), const_cast<void*>(data), bytes);
  t.read_only_ = true;
  return t;
}

Tensor Tensor::borrow(ElementType type, std::vector<int64_t> shape, void* data, size_t bytes, const Device& device) {
  return edge([&] {
    if (device.handle() && bytes > 0 && !inner(device)->owns(data))
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("expected memory of {}, found some that is not the device's", device.name()));
    Tensor t = borrow(type, std::move(shape), data, bytes);
    t.device_ = device;
    return t;
  });
}

Tensor Tensor::borrow(ElementType type, std::vector<int64_t> shape, const void* data, size_t bytes,
                      const Device& device) {
  Tensor t = borrow(type, std::move(shape), const_cast<void*>(data), bytes, device);
  t.read_only_ = true;
  return t;
}

int64_t Tensor::count() const { return core::element_count(shape_).value_or(0); }

}  // namespace fovea
