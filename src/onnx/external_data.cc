#include <charconv>
#include <filesystem>

#include "onnx/tensor_reader.h"

namespace fovea::core {
namespace {

struct Place {
  std::string location;
  int64_t offset = 0;
  int64_t length = -1;  // -1: not given
};

Status parse_number(const std::string& key, const std::string& text, int64_t& to) {
  const char* end = text.data() + text.size();
  auto r = std::from_chars(text.data(), end, to);
  if (r.ec != std::errc() || r.ptr != end || to < 0)
    return invalid_model("external data: expected a number of bytes as '{}', found '{}'", key, text.substr(0, 40));
  return {};
}

Result<Place> parse_place(const onnx::TensorProto& proto) {
  Place place;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") place.location = entry.value();
    else if (entry.key() == "offset") FOVEA_TRY(parse_number("offset", entry.value(), place.offset));
    else if (entry.key() == "length") FOVEA_TRY(parse_number("length", entry.value(), place.length));
  }
  if (place.location.empty()) return invalid_model("external data: expected a 'location', found none");
  return place;
}

// Judged by the path's text: a link that lies in the folder was put there by its owner (download caches do so).
bool stays_inside(const std::string& location) {
  if (location.find('\0') != std::string::npos || location.find('\\') != std::string::npos) return false;
  const std::filesystem::path path(location);
  if (path.is_absolute()) return false;
  for (const auto& part : path)
    if (part == "..") return false;
  return true;
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> ExternalData::open(const std::string& location) {
  auto& file = files_[location];
  if (file) return file;
  if (folder_.empty()) return invalid_model("external data '{}': a model in memory has no folder to look in", location);
  if (!stays_inside(location))
    return invalid_model("external data '{}': expected a relative path inside the model's folder", location);
  auto mapped = MappedFile::open((std::filesystem::path(folder_) / location).string());
  if (!mapped.ok()) {
    // The caller's argument was the model; a file missing beside it is the model's fault.
    const bool system = mapped.status().kind() == ErrorKind::kSystem;
    return Status(system ? ErrorKind::kSystem : ErrorKind::kInvalidModel,
                  fmt::format("external data: {}", mapped.status().message()));
  }
  return file = *std::move(mapped);
}

Result<Bytes> ExternalData::find(const onnx::TensorProto& proto, int64_t needed, std::shared_ptr<const void>& owner) {
  FOVEA_TRY_SET(Place place, parse_place(proto));
  FOVEA_TRY_SET(auto file, open(place.location));
  const auto size = static_cast<int64_t>(file->bytes().size());
  if (place.length >= 0 && place.length != needed)
    return invalid_model("external data '{}': expected a length of {} bytes, found {}", place.location, needed,
                         place.length);
  if (place.offset > size || needed > size - place.offset)
    return invalid_model(
        "external data '{}': expected {} bytes at offset {}, which is past the end of the file's {} bytes",
        place.location, needed, place.offset, size);
  owner = file;
  Bytes bytes = file->bytes().subspan(static_cast<size_t>(place.offset), static_cast<size_t>(needed));
  if (hash_) hash_->add(bytes);
  return bytes;
}

}  // namespace fovea::core
