// Inside src/picture: one decoder and one encoder for each file format.
#pragma once

#include <string_view>

#include "picture/image.h"

namespace fovea::core {

// `memory` becomes the picture's.
Result<Image> decode_jpeg(Bytes file, std::string_view name, int64_t max_pixels, std::vector<uint8_t> memory);
Result<Image> decode_png(Bytes file, std::string_view name, int64_t max_pixels, std::vector<uint8_t> memory);
Result<std::vector<std::byte>> encode_jpeg(const Image& image, int quality);
Result<std::vector<std::byte>> encode_png(const Image& image);

// InvalidArgument unless 1 <= height, width and height * width <= max_pixels.
Status check_picture_size(int64_t height, int64_t width, int64_t max_pixels, std::string_view name);

}  // namespace fovea::core
