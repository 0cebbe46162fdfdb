#include "picture/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include <sys/stat.h>

#include <jpeglib.h>
#include <png.h>

namespace fovea::core {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Image test_picture(int64_t height, int64_t width, uint32_t seed = 1) {
  std::mt19937 random(seed);
  Image image{height, width, {}};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int64_t c = 0; c < 3; ++c)
        image.rgb.push_back(
            static_cast<uint8_t>((x * (c + 2) + y * (5 - c)) % 200 + static_cast<int64_t>(random() % 32)));
  return image;
}

std::string path_of(const char* name) { return testing::TempDir() + "/image_test_" + name; }

std::vector<std::byte> bytes_of(const std::string& path) {
  auto file = MappedFile::open(path);
  EXPECT_TRUE(file.ok());
  return {(*file)->bytes().begin(), (*file)->bytes().end()};
}

std::vector<std::byte> jpeg_of(const Image& image) {
  std::string path = path_of("a.jpg");
  EXPECT_TRUE(write_jpeg(path, image).ok());
  return bytes_of(path);
}

std::vector<std::byte> png_of(const Image& image) {
  std::string path = path_of("a.png");
  EXPECT_TRUE(write_png(path, image).ok());
  return bytes_of(path);
}

// Samples (gray, RGB or CMYK) as a file of the colour space, subsampled as the library does by default.
std::vector<std::byte> raw_jpeg(const std::vector<uint8_t>& samples, int h, int w, int channels, J_COLOR_SPACE space,
                                bool progressive) {
  jpeg_compress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_compress(&codec);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&codec, &buffer, &size);
  codec.image_height = static_cast<JDIMENSION>(h);
  codec.image_width = static_cast<JDIMENSION>(w);
  codec.input_components = channels;
  codec.in_color_space = space == JCS_YCCK ? JCS_CMYK : space;
  jpeg_set_defaults(&codec);
  if (space == JCS_YCCK) jpeg_set_colorspace(&codec, JCS_YCCK);
  if (progressive) jpeg_simple_progression(&codec);
  jpeg_start_compress(&codec, TRUE);
  for (int y = 0; y < h; ++y) {
    auto* row = const_cast<uint8_t*>(&samples[static_cast<size_t>(y * w * channels)]);
    jpeg_write_scanlines(&codec, &row, 1);
  }
  jpeg_finish_compress(&codec);
  jpeg_destroy_compress(&codec);
  auto bytes = std::as_bytes(std::span(buffer, size));
  std::vector<std::byte> out(bytes.begin(), bytes.end());
  std::free(buffer);
  return out;
}

// What libjpeg-turbo's defaults give, asked for as its documentation shows.
std::vector<uint8_t> plain_decode(std::span<const std::byte> file) {
  jpeg_decompress_struct codec{};
  jpeg_error_mgr errors{};
  codec.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&codec);
  jpeg_mem_src(&codec, reinterpret_cast<const unsigned char*>(file.data()), static_cast<unsigned long>(file.size()));
  jpeg_read_header(&codec, TRUE);
  codec.out_color_space = JCS_RGB;
  jpeg_start_decompress(&codec);
  std::vector<uint8_t> rgb(size_t{codec.output_height} * codec.output_width * 3);
  while (codec.output_scanline < codec.output_height) {
    uint8_t* row = &rgb[size_t{codec.output_scanline} * codec.output_width * 3];
    jpeg_read_scanlines(&codec, &row, 1);
  }
  jpeg_destroy_decompress(&codec);
  return rgb;
}

struct PngRows {
  int color, depth;
  std::vector<std::vector<uint8_t>> rows;
  bool interlaced = false;
  std::vector<png_color> palette = {};
  std::vector<uint8_t> exif = {};
};

std::vector<std::byte> raw_png(PngRows spec, uint32_t width) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  std::vector<std::byte> out;
  png_set_write_fn(
      png, &out,
      [](png_structp p, png_bytep data, size_t n) {
        auto* to = static_cast<std::vector<std::byte>*>(png_get_io_ptr(p));
        auto bytes = std::as_bytes(std::span(data, n));
        to->insert(to->end(), bytes.begin(), bytes.end());
      },
      [](png_structp) {});
  png_set_IHDR(png, info, width, static_cast<png_uint_32>(spec.rows.size()), spec.depth, spec.color,
               spec.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!spec.palette.empty()) png_set_PLTE(png, info, spec.palette.data(), static_cast<int>(spec.palette.size()));
  if (!spec.exif.empty()) png_set_eXIf_1(png, info, static_cast<png_uint_32>(spec.exif.size()), spec.exif.data());
  png_write_info(png, info);
  std::vector<png_bytep> rows;
  for (auto& row : spec.rows) rows.push_back(row.data());
  png_write_image(png, rows.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

std::vector<uint8_t> tiff_with(uint8_t orientation, bool little) {
  if (little)
    return {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0};
  return {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0};
}

std::vector<std::byte> with_exif(std::vector<std::byte> jpeg, const std::vector<uint8_t>& tiff) {
  std::vector<uint8_t> marker = {0xff, 0xe1, 0, static_cast<uint8_t>(tiff.size() + 8), 'E', 'x', 'i', 'f', 0, 0};
  marker.insert(marker.end(), tiff.begin(), tiff.end());
  auto bytes = std::as_bytes(std::span(marker));
  jpeg.insert(jpeg.begin() + 2, bytes.begin(), bytes.end());
  return jpeg;
}

TEST(Png, RoundTripsExactly) {
  Image image = test_picture(37, 53);
  auto back = decode_image(png_of(image), "a.png");
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(back->height, 37);
  EXPECT_EQ(back->width, 53);
  EXPECT_EQ(back->rgb, image.rgb);
}

TEST(Png, SixteenBitsKeepTheHighByte) {
  auto file = raw_png({PNG_COLOR_TYPE_RGB, 16, {{0x12, 0xff, 0x34, 0x00, 0xff, 0x80}}}, 1);
  auto image = decode_image(file, "a.png");
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->rgb, (std::vector<uint8_t>{0x12, 0x34, 0xff}));
}

TEST(Png, AlphaIsDroppedNotBlended) {
  auto image = decode_image(raw_png({PNG_COLOR_TYPE_RGB_ALPHA, 8, {{10, 20, 30, 0, 40, 50, 60, 128}}}, 2), "a.png");
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->rgb, (std::vector<uint8_t>{10, 20, 30, 40, 50, 60}));
}

TEST(Png, GrayPaletteAndInterlaceBecomeRgb) {
  auto gray = decode_image(raw_png({PNG_COLOR_TYPE_GRAY, 2, {{0b00011011}}}, 4), "g.png");
  ASSERT_TRUE(gray.ok());
  EXPECT_EQ(gray->rgb, (std::vector<uint8_t>{0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}));
  auto palette =
      decode_image(raw_png({PNG_COLOR_TYPE_PALETTE, 1, {{0b01000000}}, false, {{1, 2, 3}, {4, 5, 6}}}, 2), "p.png");
  ASSERT_TRUE(palette.ok());
  EXPECT_EQ(palette->rgb, (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
  PngRows rows{PNG_COLOR_TYPE_GRAY, 8, {}, true};
  for (uint8_t y = 0; y < 9; ++y) rows.rows.push_back({y, 10, 20, 30, 40});
  auto interlaced = decode_image(raw_png(rows, 5), "i.png");
  ASSERT_TRUE(interlaced.ok());
  for (size_t y = 0; y < 9; ++y) EXPECT_EQ(interlaced->rgb[y * 15], y);
}

TEST(Jpeg, IsWhatTheLibraryDecodesByDefault) {
  Image image = test_picture(41, 67);
  for (bool progressive : {false, true}) {
    auto file = raw_jpeg(image.rgb, 41, 67, 3, JCS_RGB, progressive);
    auto back = decode_image(file, "a.jpg");
    ASSERT_TRUE(back.ok()) << back.status().message();
    EXPECT_EQ(back->rgb, plain_decode(file));
  }
}

TEST(Jpeg, WrittenPicturesComeBackNearly) {
  Image image = test_picture(40, 64);
  auto back = decode_image(jpeg_of(image), "a.jpg");
  ASSERT_TRUE(back.ok());
  double sum = 0;
  for (size_t i = 0; i < image.rgb.size(); ++i) sum += std::abs(image.rgb[i] - back->rgb[i]);
  EXPECT_LT(sum / static_cast<double>(image.rgb.size()), 6);
}

TEST(Jpeg, GrayHasThreeEqualChannels) {
  std::vector<uint8_t> gray(32 * 32, 77);
  auto image = decode_image(raw_jpeg(gray, 32, 32, 1, JCS_GRAYSCALE, false), "g.jpg");
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->rgb, std::vector<uint8_t>(32 * 32 * 3, 77));
}

TEST(Jpeg, InvertedCmykAndYcckBecomeRgb) {
  std::vector<uint8_t> cmyk;
  for (int i = 0; i < 16 * 16; ++i) cmyk.insert(cmyk.end(), {255, 128, 0, 200});
  for (J_COLOR_SPACE space : {JCS_CMYK, JCS_YCCK}) {
    auto image = decode_image(raw_jpeg(cmyk, 16, 16, 4, space, false), "c.jpg");
    ASSERT_TRUE(image.ok()) << image.status().message();
    EXPECT_NEAR(image->rgb[0], 200, 2);
    EXPECT_NEAR(image->rgb[1], 100, 2);
    EXPECT_NEAR(image->rgb[2], 0, 2);
  }
}

TEST(SparePicture, ItsMemoryIsUsedAgainItsPixelsAreNot) {
  const Image small = test_picture(21, 17), large = test_picture(40, 33);
  for (const auto& file : {jpeg_of(small), png_of(small), jpeg_of(large), png_of(large)}) {
    const Image expected = *decode_image(file, "a");
    for (const int64_t spare_side : {1, 25, 30, 100}) {
      Image spare{spare_side, spare_side, std::vector<uint8_t>(static_cast<size_t>(spare_side * spare_side * 3), 77)};
      const uint8_t* memory = spare.rgb.data();
      const bool fits = spare.rgb.size() >= expected.rgb.size();
      auto image = decode_image(file, "a", kMaxPixels, std::move(spare));
      ASSERT_TRUE(image.ok()) << image.status().message();
      EXPECT_EQ(image->height, expected.height);
      EXPECT_EQ(image->width, expected.width);
      EXPECT_EQ(image->rgb, expected.rgb);
      if (fits) EXPECT_EQ(image->rgb.data(), memory);
      else EXPECT_EQ(image->rgb.capacity(), expected.rgb.size());
    }
  }
}

TEST(ReadImage, SmallAndLargeFilesAlike) {  // the latter are mapped
  for (const int64_t side : {30, 800}) {
    Image image = test_picture(side, side);
    std::mt19937 random(5);
    for (uint8_t& v : image.rgb) v = static_cast<uint8_t>(random());
    const std::string path = path_of("noise.png");
    ASSERT_TRUE(write_png(path, image).ok());
    EXPECT_EQ(bytes_of(path).size() > size_t{1} << 20, side == 800);
    auto read = read_image(path);
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(read->rgb, image.rgb);
  }
}

TEST(Orientation, EveryOneOfTheEight) {
  // Stored 2 x 3: a b c / d e f.
  Image stored{2, 3, {}};
  for (char c : std::string("abcdef")) stored.rgb.insert(stored.rgb.end(), 3, static_cast<uint8_t>(c));
  auto text = [&](int orientation) {
    Image up = upright(stored, orientation);
    std::string s = fmt::format("{}x{} ", up.height, up.width);
    for (size_t i = 0; i < up.rgb.size(); i += 3) s += static_cast<char>(up.rgb[i]);
    return s;
  };
  EXPECT_EQ(text(1), "2x3 abcdef");
  EXPECT_EQ(text(2), "2x3 cbafed");
  EXPECT_EQ(text(3), "2x3 fedcba");
  EXPECT_EQ(text(4), "2x3 defabc");
  EXPECT_EQ(text(5), "3x2 adbecf");
  EXPECT_EQ(text(6), "3x2 daebfc");
  EXPECT_EQ(text(7), "3x2 fcebda");
  EXPECT_EQ(text(8), "3x2 cfbead");
}

TEST(Orientation, IsReadFromBothFormatsInBothByteOrders) {
  auto jpeg = jpeg_of(test_picture(16, 24));
  for (bool little : {false, true}) {
    auto turned = decode_image(with_exif(jpeg, tiff_with(6, little)), "a.jpg");
    ASSERT_TRUE(turned.ok());
    EXPECT_EQ(turned->height, 24);
  }
  PngRows rows{PNG_COLOR_TYPE_GRAY, 8, {{1, 2, 3}, {4, 5, 6}}, false, {}, tiff_with(8, false)};
  auto turned = decode_image(raw_png(rows, 3), "a.png");
  ASSERT_TRUE(turned.ok());
  EXPECT_EQ(turned->height, 3);
  EXPECT_EQ(turned->rgb[0], 3);
}

TEST(Orientation, NonsenseIsOrientationOne) {
  EXPECT_EQ(exif_orientation({}), 1);
  auto tiff = tiff_with(9, true);
  EXPECT_EQ(exif_orientation(std::as_bytes(std::span(tiff))), 1);
  for (size_t n = 0; n < tiff.size(); ++n) EXPECT_EQ(exif_orientation(std::as_bytes(std::span(tiff).first(n))), 1);
  tiff[4] = 0xff;
  EXPECT_EQ(exif_orientation(std::as_bytes(std::span(tiff))), 1);
}

Status failure(std::vector<std::byte> file, int64_t max_pixels = kMaxPixels) {
  return decode_image(file, "bad.jpg", max_pixels).status();
}

TEST(BadPicture, EmptyAndGarbageNameTheFileAndWhatWasFound) {
  EXPECT_THAT(failure({}).message(), AllOf(HasSubstr("bad.jpg"), HasSubstr("JPEG or PNG"), HasSubstr("empty")));
  std::vector<std::byte> text(20, std::byte{'G'});
  EXPECT_THAT(failure(text).message(), HasSubstr("begins with 47 47"));
  EXPECT_EQ(failure(text).kind(), ErrorKind::kInvalidArgument);
  EXPECT_EQ(read_image(path_of("is_not_there.jpg")).status().kind(), ErrorKind::kInvalidArgument);
}

TEST(BadPicture, WhatIsNoFileIsRefusedAtOnce) {
  const std::string pipe = path_of("pipe.jpg");
  (void)std::remove(pipe.c_str());
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const std::string& path : {pipe, testing::TempDir()}) {
    const Status s = read_image(path).status();
    EXPECT_EQ(s.kind(), ErrorKind::kInvalidArgument);
    EXPECT_THAT(s.message(), HasSubstr("expected a regular file"));
  }
}

TEST(BadPicture, CutOffAnywhereIsRefused) {
  Image image = test_picture(33, 47);
  for (auto whole : {jpeg_of(image), png_of(image), raw_jpeg(image.rgb, 33, 47, 3, JCS_RGB, true)}) {
    // The last bytes of a JPEG may be missing when every row is there.
    for (size_t n = 0; n + 40 < whole.size(); n += 7) {
      auto status = failure({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)});
      ASSERT_FALSE(status.ok()) << n;
      EXPECT_EQ(status.kind(), ErrorKind::kInvalidArgument);
    }
  }
}

TEST(BadPicture, TooManyPixelsAreRefusedBeforeMemoryIsTaken) {
  Image image = test_picture(20, 30);
  for (auto& file : {jpeg_of(image), png_of(image)}) {
    EXPECT_TRUE(failure(file, 600).ok());
    EXPECT_THAT(failure(file, 599).message(), HasSubstr("at most 599 pixels, found 30x20"));
  }
}

TEST(BadPicture, FlippedBytesNeverCrash) {
  const uint32_t seed = 20240517;
  std::mt19937 random(seed);
  Image image = test_picture(24, 40);
  std::vector<std::byte> progressive = raw_jpeg(image.rgb, 24, 40, 3, JCS_RGB, true);
  for (const auto& whole :
       {jpeg_of(image), with_exif(jpeg_of(image), tiff_with(5, true)), progressive, png_of(image)}) {
    for (int round = 0; round < 1500; ++round) {
      auto file = whole;
      for (size_t flips = 1 + random() % 4; flips > 0; --flips)
        file[random() % std::min<size_t>(file.size(), round % 2 ? file.size() : 200)] =
            static_cast<std::byte>(random());
      auto result = decode_image(file, "fuzz", 1 << 16);
      if (!result.ok()) {
        EXPECT_EQ(result.status().kind(), ErrorKind::kInvalidArgument) << "seed " << seed << " round " << round;
        continue;
      }
      EXPECT_EQ(static_cast<int64_t>(result->rgb.size()), result->height * result->width * 3);
    }
  }
}

TEST(Write, RefusesImagesWhoseSizesDisagree) {
  Image image{2, 2, std::vector<uint8_t>(11)};
  EXPECT_THAT(write_png(path_of("x.png"), image).message(), HasSubstr("expected 12 bytes"));
  EXPECT_FALSE(write_jpeg(path_of("x.jpg"), image).ok());
  EXPECT_FALSE(write_jpeg(path_of("x.jpg"), test_picture(2, 2), 101).ok());
  EXPECT_FALSE(write_png("/nonexistent/folder/x.png", test_picture(2, 2)).ok());
}

}  // namespace
}  // namespace fovea::core
