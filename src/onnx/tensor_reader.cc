#include "onnx/tensor_reader.h"

#include <cstring>
#include <limits>

namespace fovea::core {
namespace {

static_assert(std::endian::native == std::endian::little, "raw_data is little-endian and copied as it is");

constexpr size_t kAlignment = 64;  // what Tensor promises its readers

bool aligned(Bytes bytes) { return reinterpret_cast<uintptr_t>(bytes.data()) % kAlignment == 0; }

// A byte other than 0 and 1 in a bool is undefined behaviour wherever it is read.
bool bools_are_clean(Bytes bytes) {
  for (std::byte b : bytes)
    if (b > std::byte{1}) return false;
  return true;
}

Result<TensorPtr> from_bytes(DType type, Dims dims, Bytes bytes) {
  FOVEA_TRY_SET(auto tensor, Tensor::allocate(type, std::move(dims)));
  if (!bytes.empty()) std::memcpy(tensor->mutable_data(), bytes.data(), bytes.size());
  if (type == DType::kBool)
    for (size_t i = 0; i < bytes.size(); ++i) tensor->mutable_data()[i] = std::byte{bytes[i] != std::byte{0}};
  return TensorPtr(std::move(tensor));
}

template <typename Field>
Status expect_entries(const Field& field, int64_t wanted, std::string_view name) {
  if (field.size() == wanted) return {};
  return invalid_model("expected {} entries in {}, found {}", wanted, name, field.size());
}

// A field whose entries are the elements themselves (complex numbers: two entries each).
template <typename Field>
Result<TensorPtr> from_same(DType type, Dims dims, int64_t bytes, const Field& field, std::string_view name) {
  using T = std::decay_t<decltype(field.Get(0))>;
  FOVEA_TRY(expect_entries(field, bytes / static_cast<int64_t>(sizeof(T)), name));
  return from_bytes(type, std::move(dims),
                    {reinterpret_cast<const std::byte*>(field.data()), static_cast<size_t>(bytes)});
}

// A field whose entries hold narrower elements in their low bits. T: unsigned, of the element's size.
template <typename T, typename Field>
Result<TensorPtr> from_wider(DType type, Dims dims, int64_t bytes, const Field& field, std::string_view name) {
  FOVEA_TRY(expect_entries(field, bytes / static_cast<int64_t>(sizeof(T)), name));
  FOVEA_TRY_SET(auto tensor, Tensor::allocate(type, std::move(dims)));
  auto* to = reinterpret_cast<T*>(tensor->mutable_data());
  for (int i = 0; i < field.size(); ++i) {
    const auto v = static_cast<int64_t>(field.Get(i));
    // int8 comes as -128..127, float16 as its bits 0..65535: what fits either way is what was meant.
    if (v > int64_t{std::numeric_limits<T>::max()} || v < int64_t{std::numeric_limits<std::make_signed_t<T>>::min()})
      return invalid_model("entry {} of {}: expected a {}, found {}", i, name, to_string(type), v);
    to[i] = type == DType::kBool ? v != 0 : static_cast<T>(v);
  }
  return TensorPtr(std::move(tensor));
}

// 6-bit elements come one an entry, though raw_data packs them.
template <typename Field>
Result<TensorPtr> from_six_bits(DType type, Dims dims, const Field& field) {
  FOVEA_TRY(expect_entries(field, *element_count(dims), "int32_data"));
  FOVEA_TRY_SET(auto tensor, Tensor::allocate(type, std::move(dims)));
  for (int i = 0; i < field.size(); ++i) {
    if (field.Get(i) < 0 || field.Get(i) > 63)
      return invalid_model("entry {} of int32_data: expected 6 bits, found {}", i, field.Get(i));
    set_packed_bits(type, tensor->mutable_data(), i, static_cast<uint8_t>(field.Get(i)));
  }
  return TensorPtr(std::move(tensor));
}

Result<TensorPtr> from_fields(const onnx::TensorProto& p, DType type, Dims dims, int64_t bytes) {
  switch (type) {
    case DType::kFloat32:
    case DType::kComplex64: return from_same(type, std::move(dims), bytes, p.float_data(), "float_data");
    case DType::kFloat64:
    case DType::kComplex128: return from_same(type, std::move(dims), bytes, p.double_data(), "double_data");
    case DType::kInt64: return from_same(type, std::move(dims), bytes, p.int64_data(), "int64_data");
    case DType::kUInt64: return from_same(type, std::move(dims), bytes, p.uint64_data(), "uint64_data");
    case DType::kUInt32: return from_wider<uint32_t>(type, std::move(dims), bytes, p.uint64_data(), "uint64_data");
    case DType::kInt32: return from_same(type, std::move(dims), bytes, p.int32_data(), "int32_data");
    default: break;
  }
  if (dtype_bits(type) == 6) return from_six_bits(type, std::move(dims), p.int32_data());
  // Elements of 4 and 2 bits come packed, an entry a byte.
  if (dtype_bits(type) == 16) return from_wider<uint16_t>(type, std::move(dims), bytes, p.int32_data(), "int32_data");
  return from_wider<uint8_t>(type, std::move(dims), bytes, p.int32_data(), "int32_data");
}

Result<TensorPtr> from_external(onnx::TensorProto& p, DType type, Dims dims, int64_t bytes, ExternalData& external) {
  std::shared_ptr<const void> owner;
  FOVEA_TRY_SET(Bytes data, external.find(p, bytes, owner));
  if (aligned(data) && (type != DType::kBool || bools_are_clean(data)))
    return Tensor::wrap(type, std::move(dims), data, std::move(owner));
  return from_bytes(type, std::move(dims), data);
}

Result<TensorPtr> from_raw(onnx::TensorProto& p, DType type, Dims dims, int64_t bytes) {
  const std::unique_ptr<std::string> raw(p.release_raw_data());  // freed on return
  const Bytes data = std::as_bytes(std::span<const char>(raw->data(), raw->size()));
  if (static_cast<int64_t>(data.size()) != bytes)
    return invalid_model("expected {} bytes of raw_data, found {}", bytes, data.size());
  return from_bytes(type, std::move(dims), data);
}

Result<TensorPtr> read_strings(const onnx::TensorProto& p, Dims dims) {
  auto count = element_count(dims);
  if (p.has_raw_data() || p.data_location() == onnx::TensorProto::EXTERNAL)
    return invalid_model("expected strings in string_data");
  FOVEA_TRY(expect_entries(p.string_data(), *count, "string_data"));
  return Tensor::strings(std::move(dims), {p.string_data().begin(), p.string_data().end()});
}

Result<TensorPtr> read(onnx::TensorProto& p, ExternalData& external) {
  auto type = dtype_from_onnx(p.data_type());
  if (!type) return invalid_model("expected an element type 1 to {}, found {}", kMaxDType, p.data_type());
  Dims dims(p.dims().begin(), p.dims().end());
  if (dims.size() > kMaxRank) return unsupported("rank {}, at most {} is supported", dims.size(), kMaxRank);
  if (p.has_segment()) return unsupported("a tensor stored in segments");
  auto count = element_count(dims);
  if (!count)
    return invalid_model("expected sizes that are not negative and whose product fits 64 bits, found [{}]",
                         fmt::join(dims, ","));
  if (*type == DType::kString) return read_strings(p, std::move(dims));
  auto bytes = dtype_bytes(*type, *count);
  if (!bytes) return invalid_model("{} elements of {} are more than 64 bits can count", *count, to_string(*type));
  // Sizes are compared with what is really there before memory is asked for.
  if (p.data_location() == onnx::TensorProto::EXTERNAL)
    return from_external(p, *type, std::move(dims), *bytes, external);
  if (p.has_raw_data()) return from_raw(p, *type, std::move(dims), *bytes);
  return from_fields(p, *type, std::move(dims), *bytes);
}

}  // namespace

Result<TensorPtr> read_tensor(onnx::TensorProto& proto, ExternalData& external, const std::string& what) {
  auto tensor = read(proto, external);
  if (!tensor.ok()) return tensor.status().in(what);
  return tensor;
}

}  // namespace fovea::core
