#include "onnx/model_file.h"

#include <google/protobuf/io/zero_copy_stream.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <optional>

namespace fovea::core {
namespace {

// Hands the parser one piece after the other; hashes each once.
class PieceStream final : public google::protobuf::io::ZeroCopyInputStream {
 public:
  PieceStream(Bytes bytes, const MappedFile* file, SourceHash* hash) : bytes_(bytes), file_(file), hash_(hash) {}

  bool Next(const void** data, int* size) override {
    if (at_ == bytes_.size()) return false;
    if (file_ && at_ - released_ > kReleaseEvery) file_->release_pages(), released_ = at_;
    const size_t n = std::min(kPiece, bytes_.size() - at_);
    *data = bytes_.data() + at_;
    *size = static_cast<int>(n);
    at_ += n;
    hash_up_to(at_);
    return true;
  }
  void BackUp(int count) override { at_ -= static_cast<size_t>(count); }
  bool Skip(int count) override {
    const size_t n = std::min(static_cast<size_t>(count), bytes_.size() - at_);
    at_ += n;
    hash_up_to(at_);
    return n == static_cast<size_t>(count);
  }
  int64_t ByteCount() const override { return static_cast<int64_t>(at_); }

 private:
  static constexpr size_t kPiece = 1 << 20, kReleaseEvery = 32 << 20;

  void hash_up_to(size_t end) {
    if (!hash_ || end <= hashed_) return;
    hash_->add(bytes_.subspan(hashed_, end - hashed_));
    hashed_ = end;
  }

  Bytes bytes_;
  const MappedFile* file_;
  SourceHash* hash_;
  size_t at_ = 0, hashed_ = 0, released_ = 0;
};

// The beginning of the file in a form that fits into a message.
std::string first_bytes(Bytes bytes) {
  const size_t n = std::min<size_t>(bytes.size(), 8);
  std::string hex;
  for (size_t i = 0; i < n; ++i) hex += fmt::format("{}{:02x}", i ? " " : "", static_cast<unsigned>(bytes[i]));
  return hex;
}

// What people hand in by mistake.
std::string_view looks_like(Bytes bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 64));
  if (text.starts_with("version https://git-lfs")) return "a Git LFS pointer: fetch the file with 'git lfs pull'";
  if (text.starts_with("PK\x03\x04")) return "a zip archive (a PyTorch checkpoint or TorchScript?): export it to ONNX";
  if (text.starts_with("\x89HDF")) return "an HDF5 file (a Keras model?): export it to ONNX";
  if (text.size() > 7 && text.substr(4, 4) == "TFL3") return "a TensorFlow Lite model: export it to ONNX";
  if (text.starts_with("{") || text.starts_with("<")) return "text";
  return {};
}

// Just enough of protobuf's wire format to say where a file stops making sense.
class Wire {
 public:
  explicit Wire(Bytes bytes) : bytes_(bytes) {}
  bool done() const { return at_ == bytes_.size(); }
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }
  void skip(size_t n) { at_ += n; }
  std::optional<uint64_t> varint() {
    uint64_t v = 0;
    for (int shift = 0; shift < 64 && !done(); shift += 7) {
      const auto b = static_cast<uint64_t>(bytes_[at_++]);
      v |= (b & 0x7f) << shift;
      if (b < 0x80) return v;
    }
    return std::nullopt;
  }

 private:
  Bytes bytes_;
  size_t at_ = 0;
};

bool is_model_field(uint64_t tag) {
  switch (tag >> 3) {
    case 1:
    case 5: return (tag & 7) == 0;
    case 2:
    case 3:
    case 4:
    case 6:
    case 7:
    case 8:
    case 14:
    case 20:
    case 25:
    case 26: return (tag & 7) == 2;
    default: return false;
  }
}

Status not_onnx(Bytes bytes, const std::string& name) {
  const std::string_view like = looks_like(bytes);
  return invalid_model(
      "{}: not an ONNX file: expected a serialized ModelProto, found {}", name,
      like.empty() ? fmt::format("{} bytes that begin with {}", bytes.size(), first_bytes(bytes)) : std::string(like));
}

// Says why protobuf refused the bytes, as far as the fields of the outermost message tell.
Status diagnose(Bytes bytes, const std::string& name) {
  Wire wire(bytes);
  bool first = true;
  while (!wire.done()) {
    const size_t start = wire.at();
    auto tag = wire.varint();
    if (!tag || !is_model_field(*tag)) {
      if (first) return not_onnx(bytes, name);
      return invalid_model("{}: damaged: expected a field of ModelProto at byte {}, found none", name, start);
    }
    first = false;
    auto value = wire.varint();
    const bool nested = (*tag & 7) == 2;
    if (!value || (nested && *value > wire.left()))
      return invalid_model("{}: truncated: field {} of ModelProto needs {} bytes, {} are left", name, *tag >> 3,
                           value ? fmt::to_string(*value) : "more", wire.left());
    if (nested) wire.skip(static_cast<size_t>(*value));
  }
  return invalid_model("{}: damaged: its outermost fields are ModelProto's, but what they hold does not parse", name);
}

}  // namespace

Result<std::unique_ptr<onnx::ModelProto>> parse_model(Bytes bytes, const std::string& name, const MappedFile* file,
                                                      SourceHash* hash) {
  if (bytes.empty()) return invalid_model("{}: empty: expected an ONNX file, found 0 bytes", name);
  if (bytes.size() > INT_MAX)
    return unsupported(
        "{}: {} bytes, more than the 2 GiB that protobuf can hold: save the model with external data "
        "(onnx.save_model(model, path, save_as_external_data=True))",
        name, bytes.size());
  auto model = std::make_unique<onnx::ModelProto>();
  PieceStream stream(bytes, file, hash);
  const bool parsed = model->ParseFromZeroCopyStream(&stream);
  if (file) file->release_pages();
  if (!parsed) return diagnose(bytes, name);
  if (!model->has_graph()) {
    if (!model->has_ir_version() && model->opset_import_size() == 0) return not_onnx(bytes, name);
    return invalid_model("{}: expected a ModelProto with a graph, found none", name);
  }
  return model;
}

}  // namespace fovea::core
