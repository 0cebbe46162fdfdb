// PNG by libpng. As in jpeg.cc, methods that set a jump target hold no objects and change no local variables.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <span>

#include <png.h>

#include "picture/codec.h"

namespace fovea::core {
namespace {

constexpr png_uint_32 kMaxChunks = 1000;
constexpr png_alloc_size_t kMaxChunkBytes = png_alloc_size_t{1} << 26;

class Decoder {
 public:
  explicit Decoder(Bytes file) : rest_(file) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {});
    if (png_) info_ = png_create_info_struct(png_);
  }
  ~Decoder() {
    if (png_) png_destroy_read_struct(&png_, &info_, nullptr);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool created() const { return info_ != nullptr; }

  bool read_header() {
    if (setjmp(target_)) return false;
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // pixels are counted by the caller
    png_set_chunk_cache_max(png_, kMaxChunks);
    png_set_chunk_malloc_max(png_, kMaxChunkBytes);
    png_set_read_fn(png_, this, on_read);
    png_read_info(png_, info_);
    return true;
  }

  // Whatever the file holds becomes 8-bit RGB.
  bool set_transforms() {
    if (setjmp(target_)) return false;
    png_set_strip_16(png_);
    png_set_palette_to_rgb(png_);
    if (!(png_get_color_type(png_, info_) & PNG_COLOR_MASK_COLOR)) {
      png_set_expand_gray_1_2_4_to_8(png_);
      png_set_gray_to_rgb(png_);
    }
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_rows(png_bytepp rows) {
    if (setjmp(target_)) return false;
    png_read_image(png_, rows);
    png_read_end(png_, info_);
    return true;
  }

  int64_t height() const { return png_get_image_height(png_, info_); }
  int64_t width() const { return png_get_image_width(png_, info_); }
  size_t row_bytes() const { return png_get_rowbytes(png_, info_); }
  const char* message() const { return message_; }

  int orientation() {
    png_uint_32 size = 0;
    png_bytep exif = nullptr;
    if (!png_get_eXIf_1(png_, info_, &size, &exif)) return 1;
    return exif_orientation(std::as_bytes(std::span(exif, size)));
  }

 private:
  [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
    auto* self = static_cast<Decoder*>(png_get_error_ptr(png));
    std::snprintf(self->message_, sizeof self->message_, "%s", message);
    std::longjmp(self->target_, 1);
  }

  static void on_read(png_structp png, png_bytep to, size_t count) {
    auto* self = static_cast<Decoder*>(png_get_io_ptr(png));
    if (count > self->rest_.size()) png_error(png, "the file is cut off");
    std::memcpy(to, self->rest_.data(), count);
    self->rest_ = self->rest_.subspan(count);
  }

  Bytes rest_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::jmp_buf target_{};
  char message_[128] = "out of memory";
};

Status damaged(std::string_view name, const char* message) {
  return invalid_argument("{}: expected a whole PNG picture, found a damaged one: {}", name, message);
}

Result<Image> read_pixels(Decoder& decoder, std::string_view name, std::vector<uint8_t> memory) {
  const int64_t h = decoder.height(), w = decoder.width();
  if (decoder.row_bytes() != static_cast<size_t>(w * 3))
    return internal_error("{}: a PNG row has {} bytes, expected {}", name, decoder.row_bytes(), w * 3);
  Image image{h, w, std::move(memory)};
  image.rgb.clear();
  image.rgb.resize(static_cast<size_t>(h * w * 3));
  std::vector<png_bytep> rows(static_cast<size_t>(h));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = &image.rgb[y * static_cast<size_t>(w * 3)];
  if (!decoder.read_rows(rows.data())) return damaged(name, decoder.message());
  return image;
}

}  // namespace

Result<Image> decode_png(Bytes file, std::string_view name, int64_t max_pixels, std::vector<uint8_t> memory) {
  Decoder decoder(file);
  if (!decoder.created()) return system_error("{}: not enough memory for the PNG decoder", name);
  if (!decoder.read_header()) return damaged(name, decoder.message());
  FOVEA_TRY(check_picture_size(decoder.height(), decoder.width(), max_pixels, name));
  if (!decoder.set_transforms()) return damaged(name, decoder.message());
  FOVEA_TRY_SET(Image image, read_pixels(decoder, name, std::move(memory)));
  return upright(std::move(image), decoder.orientation());
}

Result<std::vector<std::byte>> encode_png(const Image& image) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  std::vector<std::byte> bytes(size);
  if (!png_image_write_to_memory(&header, bytes.data(), &size, 0, image.rgb.data(), 0, nullptr))
    return system_error("PNG: cannot encode: {}", header.message);
  bytes.resize(size);
  return bytes;
}

}  // namespace fovea::core
