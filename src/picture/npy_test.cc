#include "picture/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace fovea::core {
namespace {

using ::testing::HasSubstr;

std::string path() { return testing::TempDir() + "/npy_test.npy"; }

std::vector<std::byte> file_bytes() {
  auto file = MappedFile::open(path());
  EXPECT_TRUE(file.ok());
  return {(*file)->bytes().begin(), (*file)->bytes().end()};
}

NpyArray random_array(DType dtype, std::vector<int64_t> shape) {
  std::mt19937 random(3);
  int64_t count = 1;
  for (int64_t d : shape) count *= d;
  NpyArray a{dtype, std::move(shape), std::vector<std::byte>(static_cast<size_t>(*dtype_bytes(dtype, count)))};
  for (auto& b : a.data) b = static_cast<std::byte>(random());
  return a;
}

// A file with this header text and data, as version 1.
std::vector<std::byte> file_of(std::string_view header, std::string_view data) {
  std::string text = std::string("\x93NUMPY\x01", 7) + '\0' + static_cast<char>(header.size()) + '\0';
  text += header;
  text += data;
  auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Result<NpyArray> parse_header(std::string_view header, std::string_view data = "") {
  return parse_npy(file_of(header, data), "x.npy");
}

TEST(Npy, EveryTypeAndShapeRoundTrips) {
  for (DType dtype : {DType::kBool, DType::kInt8, DType::kInt16, DType::kInt32, DType::kInt64, DType::kUInt8,
                      DType::kUInt16, DType::kUInt32, DType::kUInt64, DType::kFloat16, DType::kFloat32, DType::kFloat64,
                      DType::kComplex64, DType::kComplex128}) {
    for (auto shape : {std::vector<int64_t>{}, {5}, {0, 4}, {2, 3, 4}}) {
      NpyArray array = random_array(dtype, shape);
      ASSERT_TRUE(write_npy(path(), array).ok());
      EXPECT_EQ((file_bytes().size() - array.data.size()) % 64, 0u);
      auto back = read_npy(path());
      ASSERT_TRUE(back.ok()) << back.status().message();
      EXPECT_EQ(back->dtype, dtype);
      EXPECT_EQ(back->shape, shape);
      EXPECT_EQ(back->data, array.data);
    }
  }
}

TEST(Npy, FortranOrderIsTransposed) {
  auto a = parse_header("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", "adbecf");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(a->data.data()), 6), "abcdef");
}

TEST(Npy, HeadersInOtherDress) {
  auto a = parse_header("{ \"shape\" : (2,) , \"fortran_order\":False,\"descr\":\"<u2\"}   \n", "abcd");
  ASSERT_TRUE(a.ok()) << a.status().message();
  EXPECT_EQ(a->shape, (std::vector<int64_t>{2}));
  EXPECT_EQ(a->dtype, DType::kUInt16);
}

TEST(Npy, TypesWithoutAName) {
  NpyArray array{DType::kBFloat16, {1}, std::vector<std::byte>(2)};
  EXPECT_EQ(write_npy(path(), array).kind(), ErrorKind::kUnsupported);
  for (auto descr : {"'>f4'", "'<U3'", "'|O'", "'|V2'"}) {
    auto a = parse_header(fmt::format("{{'descr': {}, 'fortran_order': False, 'shape': (1,)}}", descr), "abcd");
    ASSERT_FALSE(a.ok());
    EXPECT_EQ(a.status().kind(), ErrorKind::kUnsupported) << descr;
  }
}

TEST(Npy, MalformedFilesAreInvalidArgument) {
  for (auto header : {"", "{", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
                      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                      "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
                      "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
                      "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
                      "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
                      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
                      "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} trailing"}) {
    auto a = parse_header(header, "abcd");
    ASSERT_FALSE(a.ok()) << header;
    EXPECT_EQ(a.status().kind(), ErrorKind::kInvalidArgument) << header;
    EXPECT_THAT(a.status().message(), HasSubstr("x.npy"));
  }
  auto a = parse_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "abcd");
  EXPECT_THAT(a.status().message(), HasSubstr("expected 8 bytes of data for float32 (2,), found 4"));
  EXPECT_THAT(parse_npy({}, "x.npy").status().message(), HasSubstr("empty"));
}

TEST(Npy, FlippedAndCutFilesNeverCrash) {
  const uint32_t seed = 99;
  std::mt19937 random(seed);
  ASSERT_TRUE(write_npy(path(), random_array(DType::kFloat32, {3, 4})).ok());
  const auto whole = file_bytes();
  for (int round = 0; round < 5000; ++round) {
    auto file = whole;
    for (size_t flips = random() % 4; flips > 0; --flips)
      file[random() % file.size()] = static_cast<std::byte>(random());
    if (round % 3 == 0) file.resize(random() % file.size());
    auto array = parse_npy(file, "fuzz");
    if (array.ok()) continue;
    EXPECT_NE(array.status().kind(), ErrorKind::kInternal) << "seed " << seed << " round " << round;
  }
}

}  // namespace
}  // namespace fovea::core
