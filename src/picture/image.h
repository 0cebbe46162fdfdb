// Pictures: JPEG and PNG files to rows of RGB bytes and back.
//
// Decoding follows OpenCV's imread(IMREAD_COLOR), so that a network gets the bytes that it gets elsewhere:
// libjpeg-turbo's defaults (accurate integer DCT, fancy upsampling), gray spread over three channels, 16-bit PNG cut to
// its high byte, alpha dropped, and the EXIF orientation applied (Pillow leaves the last to its caller).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace fovea::core {

enum class PictureFormat : uint8_t { kJpeg, kPng };

struct Image {
  int64_t height = 0, width = 0;  // pixels
  std::vector<uint8_t> rgb;       // [height, width, 3], row by row from the top
};

// Pixels that somebody else keeps.
struct PictureView {
  PictureView(int64_t h, int64_t w, const uint8_t* pixels) : height(h), width(w), rgb(pixels) {}
  PictureView(const Image& image)  // NOLINT: implicit on purpose
      : PictureView(image.height, image.width, image.rgb.data()) {}
  int64_t bytes() const { return height * width * 3; }

  int64_t height, width;
  const uint8_t* rgb;
};

inline constexpr int64_t kMaxPixels = int64_t{1} << 28;  // 805 MB of RGB; a hostile header cannot ask for more

// The format by signature, never by file name. `name` appears in messages.
Result<PictureFormat> picture_format(Bytes file, std::string_view name);

// A file that is empty, cut off, damaged, or neither JPEG nor PNG is InvalidArgument. The pixels may lie in the memory
// of `spare`, a picture that nobody needs any more.
Result<Image> decode_image(Bytes file, std::string_view name, int64_t max_pixels = kMaxPixels, Image spare = {});
Result<Image> read_image(const std::string& path, Image spare = {});

// RGB, 8 bits, no alpha. The file appears whole or not at all.
Status write_png(const std::string& path, const Image& image);
// Quality 1..100. Chroma is not subsampled: thin coloured lines stay sharp.
Status write_jpeg(const std::string& path, const Image& image, int quality = 92);
Status write_image(const std::string& path, const Image& image, PictureFormat format);

// What EXIF calls orientation, 1..8, from a TIFF block as JPEG's APP1 (behind "Exif\0\0") and PNG's eXIf hold it; 1
// where there is none or the block makes no sense.
int exif_orientation(Bytes tiff);
// The picture turned and mirrored so that orientation 1 describes it.
Image upright(Image image, int orientation);

}  // namespace fovea::core
