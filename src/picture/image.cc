#include "picture/image.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <new>
#include <utility>

#include "picture/codec.h"

namespace fovea::core {
namespace {

constexpr std::array<uint8_t, 3> kJpegSignature = {0xff, 0xd8, 0xff};
constexpr std::array<uint8_t, 8> kPngSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

uint8_t byte_at(Bytes bytes, size_t i) { return std::to_integer<uint8_t>(bytes[i]); }

template <size_t N>
bool begins_with(Bytes file, const std::array<uint8_t, N>& signature) {
  return file.size() >= N && std::equal(signature.begin(), signature.end(), file.begin(),
                                        [](uint8_t a, std::byte b) { return a == std::to_integer<uint8_t>(b); });
}

std::string first_bytes(Bytes file) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(file.size(), 8); ++i)
    text += fmt::format("{}{:02x}", i ? " " : "", byte_at(file, i));
  return text;
}

// Numbers of a TIFF block in its own byte order.
struct Tiff {
  Bytes bytes;
  bool little = true;

  bool has(size_t at, size_t count) const { return at <= bytes.size() && count <= bytes.size() - at; }
  uint32_t number(size_t at, size_t count) const {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) value = value << 8 | byte_at(bytes, little ? at + count - 1 - i : at + i);
    return value;
  }
};

constexpr uint32_t kOrientationTag = 0x0112, kTiffShort = 3;

Status check_image(const Image& image, const std::string& path) {
  FOVEA_TRY(check_picture_size(image.height, image.width, kMaxPixels, path));
  if (static_cast<int64_t>(image.rgb.size()) != image.height * image.width * 3)
    return invalid_argument("{}: expected {} bytes of RGB for {}x{} pixels, found {}", path,
                            image.height * image.width * 3, image.width, image.height, image.rgb.size());
  return {};
}

Status write_bytes(const std::string& path, Bytes bytes) {
  FOVEA_TRY_SET(auto writer, FileWriter::create(path));
  FOVEA_TRY(writer->write(bytes));
  return writer->commit();
}

}  // namespace

Status check_picture_size(int64_t height, int64_t width, int64_t max_pixels, std::string_view name) {
  if (height < 1 || width < 1)
    return invalid_argument("{}: expected a picture with pixels, found {}x{}", name, width, height);
  if (height > max_pixels / width)
    return invalid_argument("{}: expected a picture of at most {} pixels, found {}x{}", name, max_pixels, width,
                            height);
  return {};
}

Result<PictureFormat> picture_format(Bytes file, std::string_view name) {
  if (begins_with(file, kJpegSignature)) return PictureFormat::kJpeg;
  if (begins_with(file, kPngSignature)) return PictureFormat::kPng;
  if (file.empty()) return invalid_argument("{}: expected a JPEG or PNG picture, found an empty file", name);
  return invalid_argument("{}: expected a JPEG or PNG picture, found a file that begins with {}", name,
                          first_bytes(file));
}

Result<Image> decode_image(Bytes file, std::string_view name, int64_t max_pixels, Image spare) {
  FOVEA_TRY_SET(PictureFormat format, picture_format(file, name));
  try {
    return (format == PictureFormat::kJpeg ? decode_jpeg : decode_png)(file, name, max_pixels, std::move(spare.rgb));
  } catch (const std::bad_alloc&) {
    return system_error("{}: not enough memory for the picture", name);
  }
}

Result<Image> read_image(const std::string& path, Image spare) {
  // Threads that map and unmap one small file after the other wait for each other.
  constexpr uintmax_t kMostRead = uintmax_t{1} << 20;
  std::error_code failed;
  if (std::filesystem::file_size(path, failed) <= kMostRead) {
    FOVEA_TRY_SET(const std::string file, read_file(path));
    return decode_image(std::as_bytes(std::span(file)), path, kMaxPixels, std::move(spare));
  }
  FOVEA_TRY_SET(const auto file, MappedFile::open(path));
  return decode_image(file->bytes(), path, kMaxPixels, std::move(spare));
}

Status write_png(const std::string& path, const Image& image) {
  FOVEA_TRY(check_image(image, path));
  FOVEA_TRY_SET(auto bytes, encode_png(image));
  return write_bytes(path, bytes);
}

Status write_jpeg(const std::string& path, const Image& image, int quality) {
  FOVEA_TRY(check_image(image, path));
  FOVEA_TRY_SET(auto bytes, encode_jpeg(image, quality));
  return write_bytes(path, bytes);
}

Status write_image(const std::string& path, const Image& image, PictureFormat format) {
  return format == PictureFormat::kJpeg ? write_jpeg(path, image) : write_png(path, image);
}

int exif_orientation(Bytes bytes) {
  Tiff tiff{bytes};
  if (!tiff.has(0, 8)) return 1;
  tiff.little = byte_at(bytes, 0) == 'I';
  size_t directory = tiff.number(4, 4);
  if (!tiff.has(directory, 2)) return 1;
  size_t entries = tiff.number(directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    size_t entry = directory + 2 + 12 * i;
    if (!tiff.has(entry, 12)) return 1;
    if (tiff.number(entry, 2) != kOrientationTag || tiff.number(entry + 2, 2) != kTiffShort) continue;
    uint32_t value = tiff.number(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  // Orientations 5 to 8 are transposed; which axes of the stored picture then run backwards follows from EXIF's table.
  bool transposed = orientation >= 5;
  bool flip_rows = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  bool flip_columns = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  Image turned{transposed ? image.width : image.height, transposed ? image.height : image.width, {}};
  turned.rgb.resize(image.rgb.size());
  const int64_t h = turned.height, w = turned.width;
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      int64_t from_y = flip_rows ? h - 1 - y : y, from_x = flip_columns ? w - 1 - x : x;
      if (transposed) std::swap(from_y, from_x);
      const uint8_t* from = &image.rgb[static_cast<size_t>((from_y * image.width + from_x) * 3)];
      std::copy_n(from, 3, &turned.rgb[static_cast<size_t>((y * w + x) * 3)]);
    }
  }
  return turned;
}

}  // namespace fovea::core
