#include "picture/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <new>
#include <optional>

namespace fovea::core {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;  // where NumPy lets the data begin

struct NamedType {
  std::string_view descr;  // without the byte order
  DType dtype;
};
constexpr std::array<NamedType, 14> kTypes = {{{"b1", DType::kBool},
                                               {"i1", DType::kInt8},
                                               {"i2", DType::kInt16},
                                               {"i4", DType::kInt32},
                                               {"i8", DType::kInt64},
                                               {"u1", DType::kUInt8},
                                               {"u2", DType::kUInt16},
                                               {"u4", DType::kUInt32},
                                               {"u8", DType::kUInt64},
                                               {"f2", DType::kFloat16},
                                               {"f4", DType::kFloat32},
                                               {"f8", DType::kFloat64},
                                               {"c8", DType::kComplex64},
                                               {"c16", DType::kComplex128}}};

struct Header {
  std::string_view descr;
  bool fortran = false;
  std::vector<int64_t> shape;
  bool has_descr = false, has_order = false, has_shape = false;
};

// Reads the header, a Python dictionary such as {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : rest_(text) {}

  std::optional<Header> read() {
    Header header;
    if (!take("{")) return std::nullopt;
    while (!take("}")) {
      auto key = string();
      if (!key || !take(":") || !value(*key, header)) return std::nullopt;
      if (!take(",") && !peek('}')) return std::nullopt;
    }
    skip_space();
    bool whole = rest_.empty() && header.has_descr && header.has_order && header.has_shape;
    return whole ? std::optional(header) : std::nullopt;
  }

 private:
  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool peek(char c) {
    skip_space();
    return rest_.starts_with(c);
  }
  bool take(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  std::optional<std::string_view> string() {
    char quote = peek('\'') ? '\'' : '"';
    if (!peek(quote)) return std::nullopt;
    size_t end = rest_.find(quote, 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view s = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return s;
  }

  bool value(std::string_view key, Header& header) {
    if (key == "descr") return header.has_descr = descr(header);
    if (key == "fortran_order") return header.has_order = order(header);
    return key == "shape" && (header.has_shape = shape(header));
  }

  bool descr(Header& header) {
    if (peek('[')) return false;  // a structured type
    auto s = string();
    if (s) header.descr = *s;
    return s.has_value();
  }

  bool order(Header& header) {
    header.fortran = take("True");
    return header.fortran || take("False");
  }

  bool shape(Header& header) {
    if (!take("(")) return false;
    while (!take(")")) {
      skip_space();
      int64_t dim = 0;
      auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), dim);
      if (error != std::errc() || dim < 0) return false;
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      header.shape.push_back(dim);
      if (!take(",") && !peek(')')) return false;
    }
    return true;
  }

  std::string_view rest_;
};

Result<DType> dtype_of_descr(std::string_view descr, std::string_view name) {
  std::string_view type = descr;
  char order = '|';
  if (!descr.empty() && std::string_view("<>|=").find(descr[0]) != std::string_view::npos) {
    order = descr[0];
    type.remove_prefix(1);
  }
  auto it = std::find_if(kTypes.begin(), kTypes.end(), [&](const NamedType& t) { return t.descr == type; });
  if (it == kTypes.end())
    return unsupported("{}: expected a NumPy array of booleans or numbers, found type '{}'", name, descr);
  if (order == '>' && dtype_bits(it->dtype) > 8)
    return unsupported("{}: expected a little-endian NumPy array, found type '{}'", name, descr);
  return it->dtype;
}

// The number of elements, if it fits into int64 even with zero extents left out.
std::optional<int64_t> element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  bool empty = false;
  for (int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    empty |= dim == 0;
    if (dim > 0 && count > std::numeric_limits<int64_t>::max() / dim) return std::nullopt;
    if (dim > 0) count *= dim;
  }
  return empty ? 0 : count;
}

std::vector<std::byte> to_c_order(Bytes from, std::span<const int64_t> shape, size_t item) {
  std::vector<std::byte> to(from.size());
  std::vector<size_t> strides(shape.size()), index(shape.size());
  size_t stride = item;
  for (size_t d = 0; d < shape.size(); ++d) {
    strides[d] = stride;
    stride *= static_cast<size_t>(shape[d]);
  }
  size_t source = 0;
  for (size_t at = 0; at < to.size(); at += item) {
    std::memcpy(&to[at], &from[source], item);
    for (size_t d = shape.size(); d-- > 0;) {
      source += strides[d];
      if (++index[d] < static_cast<size_t>(shape[d])) break;
      source -= strides[d] * index[d];
      index[d] = 0;
    }
  }
  return to;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "(";
  for (int64_t dim : shape) text += fmt::format("{}, ", dim);
  if (shape.size() > 1) text.resize(text.size() - 2);
  if (shape.size() == 1) text.resize(text.size() - 1);
  return text + ")";
}

// Where the header's text lies in the file.
Result<std::string_view> header_text(Bytes file, std::string_view name) {
  std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic))
    return invalid_argument("{}: expected a NumPy .npy file, found {}", name,
                            file.empty() ? "an empty file" : "something else");
  if (text.size() < 8) return invalid_argument("{}: expected a whole .npy file, found {} bytes", name, text.size());
  auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<uint8_t>(text[i])); };
  size_t version = byte(6), field = version == 1 ? 2 : 4, length = 0;
  if (version < 1 || version > 3) return unsupported("{}: expected .npy version 1 to 3, found {}", name, version);
  if (text.size() < 8 + field)
    return invalid_argument("{}: expected a whole .npy file, found {} bytes", name, text.size());
  for (size_t i = field; i-- > 0;) length = length << 8 | byte(8 + i);
  if (length > text.size() - 8 - field)
    return invalid_argument("{}: expected a .npy header of {} bytes, found {}", name, length, text.size() - 8 - field);
  return text.substr(8 + field, length);
}

Result<NpyArray> parse(Bytes file, std::string_view name) {
  FOVEA_TRY_SET(std::string_view text, header_text(file, name));
  auto header = HeaderReader(text).read();
  if (!header)
    return invalid_argument("{}: expected a .npy header with descr, fortran_order and shape, found \"{:.80}\"", name,
                            text);
  FOVEA_TRY_SET(DType dtype, dtype_of_descr(header->descr, name));
  auto count = element_count(header->shape);
  auto bytes = count ? dtype_bytes(dtype, *count) : std::nullopt;
  if (!bytes) return invalid_argument("{}: the shape {} is too large", name, shape_text(header->shape));
  Bytes data =
      file.subspan(static_cast<size_t>(text.data() + text.size() - reinterpret_cast<const char*>(file.data())));
  if (data.size() != static_cast<size_t>(*bytes))
    return invalid_argument("{}: expected {} bytes of data for {} {}, found {}", name, *bytes, to_string(dtype),
                            shape_text(header->shape), data.size());
  NpyArray array{dtype, std::move(header->shape), {}};
  if (header->fortran && array.shape.size() > 1)
    array.data = to_c_order(data, array.shape, static_cast<size_t>(dtype_bits(dtype) / 8));
  else array.data.assign(data.begin(), data.end());
  return array;
}

}  // namespace

Result<NpyArray> parse_npy(Bytes file, std::string_view name) {
  try {
    return parse(file, name);
  } catch (const std::bad_alloc&) {
    return system_error("{}: not enough memory for the array", name);
  }
}

Result<NpyArray> read_npy(const std::string& path) {
  FOVEA_TRY_SET(auto file, MappedFile::open(path));
  return parse_npy(file->bytes(), path);
}

Status write_npy(const std::string& path, DType dtype, std::span<const int64_t> shape, Bytes data) {
  auto it = std::find_if(kTypes.begin(), kTypes.end(), [&](const NamedType& t) { return t.dtype == dtype; });
  if (it == kTypes.end()) return unsupported("{}: NumPy has no type for {}", path, to_string(dtype));
  auto count = element_count(shape);
  auto bytes = count ? dtype_bytes(dtype, *count) : std::nullopt;
  if (!bytes || static_cast<size_t>(*bytes) != data.size())
    return internal_error("{}: {} bytes of data do not fit {} {}", path, data.size(), to_string(dtype),
                          shape_text(shape));
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': {}, }}",
                                   dtype_bits(dtype) > 8 ? '<' : '|', it->descr, shape_text(shape));
  const size_t prefix = kMagic.size() + 4;
  header.append((kAlignment - (prefix + header.size() + 1) % kAlignment) % kAlignment, ' ');
  header += '\n';
  if (header.size() > 0xffff) return unsupported("{}: {} dimensions are too many for .npy", path, shape.size());
  std::string begin(kMagic);
  begin += {'\x01', '\0', static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  FOVEA_TRY_SET(auto writer, FileWriter::create(path));
  FOVEA_TRY(writer->write(begin + header));
  FOVEA_TRY(writer->write(data));
  return writer->commit();
}

Status write_npy(const std::string& path, const NpyArray& array) {
  return write_npy(path, array.dtype, array.shape, array.data);
}

}  // namespace fovea::core
