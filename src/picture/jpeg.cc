// JPEG by libjpeg-turbo. The library reports errors by a call that must not return: ours jumps back into the method
// that called it. So a method that sets a jump target has no objects with destructors and changes no local variable;
// everything lives in the object, whose destructor frees the library's memory.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include <jerror.h>
#include <jpeglib.h>

#include "picture/codec.h"

namespace fovea::core {
namespace {

// A progressive file may repeat scans without end, each over the whole picture.
constexpr int kMaxScans = 500;

struct ErrorTrap {
  jpeg_error_mgr manager;  // first: the library's pointer to it is a pointer to this
  std::jmp_buf target;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void give_up(j_common_ptr codec, const char* message) {
  auto* trap = reinterpret_cast<ErrorTrap*>(codec->err);
  std::snprintf(trap->message, sizeof trap->message, "%s", message);
  std::longjmp(trap->target, 1);
}

void on_error(j_common_ptr codec) {
  char message[JMSG_LENGTH_MAX];
  codec->err->format_message(codec, message);
  give_up(codec, message);
}

// The library papers over a missing end with gray; we take the file for cut off. Other warnings are harmless.
void on_message(j_common_ptr codec, int level) {
  if (level < 0 && codec->err->msg_code == JWRN_JPEG_EOF) give_up(codec, "the file is cut off");
}

void on_progress(j_common_ptr codec) {
  if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number > kMaxScans) give_up(codec, "too many scans");
}

void set_trap(ErrorTrap& trap) {
  jpeg_std_error(&trap.manager);
  trap.manager.error_exit = on_error;
  trap.manager.emit_message = on_message;
  trap.manager.output_message = [](j_common_ptr) {};
  trap.message[0] = '\0';
}

class Decoder {
 public:
  Decoder() {
    set_trap(trap_);
    codec_.err = &trap_.manager;
  }
  ~Decoder() { jpeg_destroy_decompress(&codec_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool read_header(Bytes file) {
    if (setjmp(trap_.target)) return false;
    jpeg_create_decompress(&codec_);
    progress_.progress_monitor = on_progress;
    codec_.progress = &progress_;
    jpeg_mem_src(&codec_, reinterpret_cast<const unsigned char*>(file.data()), static_cast<unsigned long>(file.size()));
    jpeg_save_markers(&codec_, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&codec_, TRUE);
    return true;
  }

  bool start() {
    if (setjmp(trap_.target)) return false;
    codec_.out_color_space = codec_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&codec_);
    return true;
  }

  bool read_row(uint8_t* row) {
    if (setjmp(trap_.target)) return false;
    jpeg_read_scanlines(&codec_, &row, 1);
    return true;
  }

  int64_t height() const { return codec_.image_height; }
  int64_t width() const { return codec_.image_width; }
  int channels() const { return codec_.output_components; }
  const char* message() const { return trap_.message; }

  int orientation() const {
    constexpr size_t kPrefix = 6;  // "Exif", two zeros
    for (auto* m = codec_.marker_list; m; m = m->next)
      if (m->marker == JPEG_APP0 + 1 && m->data_length > kPrefix && std::memcmp(m->data, "Exif\0", kPrefix) == 0)
        return exif_orientation(std::as_bytes(std::span(m->data + kPrefix, m->data_length - kPrefix)));
    return 1;
  }

 private:
  ErrorTrap trap_{};
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct codec_{};
};

// Adobe's files hold CMYK inverted; OpenCV's integer formula.
void cmyk_to_rgb(const uint8_t* cmyk, uint8_t* rgb, int64_t pixels) {
  for (int64_t i = 0; i < pixels; ++i, cmyk += 4, rgb += 3) {
    int k = cmyk[3];
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>(k - (((255 - cmyk[c]) * k) >> 8));
  }
}

class Encoder {
 public:
  Encoder() {
    set_trap(trap_);
    codec_.err = &trap_.manager;
  }
  ~Encoder() {
    jpeg_destroy_compress(&codec_);
    std::free(buffer_);
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  bool encode(const Image& image, int quality) {
    if (setjmp(trap_.target)) return false;
    jpeg_create_compress(&codec_);
    jpeg_mem_dest(&codec_, &buffer_, &size_);
    codec_.image_height = static_cast<JDIMENSION>(image.height);
    codec_.image_width = static_cast<JDIMENSION>(image.width);
    codec_.input_components = 3;
    codec_.in_color_space = JCS_RGB;
    jpeg_set_defaults(&codec_);
    jpeg_set_quality(&codec_, quality, TRUE);
    codec_.comp_info[0].h_samp_factor = codec_.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&codec_, TRUE);
    while (codec_.next_scanline < codec_.image_height) write_row(image);
    jpeg_finish_compress(&codec_);
    return true;
  }

  std::span<const std::byte> bytes() const { return std::as_bytes(std::span(buffer_, size_)); }
  const char* message() const { return trap_.message; }

 private:
  void write_row(const Image& image) {
    auto* row =
        const_cast<uint8_t*>(image.rgb.data()) + static_cast<size_t>(codec_.next_scanline) * codec_.image_width * 3;
    jpeg_write_scanlines(&codec_, &row, 1);
  }

  ErrorTrap trap_{};
  jpeg_compress_struct codec_{};
  unsigned char* buffer_ = nullptr;
  unsigned long size_ = 0;
};

Status damaged(std::string_view name, const char* message) {
  return invalid_argument("{}: expected a whole JPEG picture, found a damaged one: {}", name, message);
}

}  // namespace

Result<Image> decode_jpeg(Bytes file, std::string_view name, int64_t max_pixels, std::vector<uint8_t> memory) {
  Decoder decoder;
  if (!decoder.read_header(file)) return damaged(name, decoder.message());
  FOVEA_TRY(check_picture_size(decoder.height(), decoder.width(), max_pixels, name));
  if (!decoder.start()) return damaged(name, decoder.message());
  const int64_t h = decoder.height(), w = decoder.width();
  Image image{h, w, std::move(memory)};
  image.rgb.clear();
  // Rows become resident as they are decoded: a short file with a huge header costs no memory.
  image.rgb.reserve(static_cast<size_t>(h * w * 3));
  std::vector<uint8_t> cmyk(decoder.channels() == 4 ? static_cast<size_t>(w * 4) : 0);
  for (int64_t y = 0; y < h; ++y) {
    image.rgb.resize(static_cast<size_t>((y + 1) * w * 3));
    uint8_t* row = &image.rgb[static_cast<size_t>(y * w * 3)];
    if (!decoder.read_row(cmyk.empty() ? row : cmyk.data())) return damaged(name, decoder.message());
    if (!cmyk.empty()) cmyk_to_rgb(cmyk.data(), row, w);
  }
  return upright(std::move(image), decoder.orientation());
}

Result<std::vector<std::byte>> encode_jpeg(const Image& image, int quality) {
  if (quality < 1 || quality > 100) return invalid_argument("JPEG quality: expected 1..100, found {}", quality);
  if (std::max(image.height, image.width) > JPEG_MAX_DIMENSION)
    return invalid_argument("JPEG: expected sides of at most {} pixels, found {}x{}", JPEG_MAX_DIMENSION, image.width,
                            image.height);
  Encoder encoder;
  if (!encoder.encode(image, quality)) return system_error("JPEG: cannot encode: {}", encoder.message());
  return std::vector<std::byte>(encoder.bytes().begin(), encoder.bytes().end());
}

}  // namespace fovea::core
