#include "onnx/tensor_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "onnx/testing.h"

namespace fovea::core {
namespace {

using onnx::TensorProto;
using testing::ElementsAre;
using testing::HasSubstr;

Result<TensorPtr> read_one(TensorProto p, const std::string& folder = "") {
  ExternalData external(folder, nullptr);
  return read_tensor(p, external, "tensor 't'");
}

TensorProto proto(int type, std::vector<int64_t> dims) {
  TensorProto p;
  p.set_data_type(type);
  for (int64_t d : dims) p.add_dims(d);
  return p;
}

void expect_error(const TensorProto& p, ErrorKind kind, const std::string& what, const std::string& folder = "") {
  auto t = read_one(p, folder);
  ASSERT_FALSE(t.ok()) << what;
  EXPECT_EQ(t.status().kind(), kind) << t.status().message();
  EXPECT_THAT(t.status().message(), HasSubstr(what));
  EXPECT_THAT(t.status().message(), testing::StartsWith("tensor 't': "));
}

TEST(ReadTensor, TypedFields) {
  auto p = proto(TensorProto::FLOAT, {2});
  p.add_float_data(1.5f), p.add_float_data(-2);
  EXPECT_THAT((*read_one(p))->as<float>(), ElementsAre(1.5f, -2));
  p = proto(TensorProto::DOUBLE, {});
  p.add_double_data(0.1);
  EXPECT_THAT((*read_one(p))->as<double>(), ElementsAre(0.1));
  p = proto(TensorProto::INT64, {2});
  p.add_int64_data(INT64_MIN), p.add_int64_data(INT64_MAX);
  EXPECT_THAT((*read_one(p))->as<int64_t>(), ElementsAre(INT64_MIN, INT64_MAX));
  p = proto(TensorProto::UINT64, {1});
  p.add_uint64_data(UINT64_MAX);
  EXPECT_THAT((*read_one(p))->as<uint64_t>(), ElementsAre(UINT64_MAX));
  p = proto(TensorProto::UINT32, {1});
  p.add_uint64_data(UINT32_MAX);
  EXPECT_THAT((*read_one(p))->as<uint32_t>(), ElementsAre(UINT32_MAX));
  p = proto(TensorProto::INT32, {1});
  p.add_int32_data(INT32_MIN);
  EXPECT_THAT((*read_one(p))->as<int32_t>(), ElementsAre(INT32_MIN));
  p = proto(TensorProto::STRING, {2});
  p.add_string_data("a"), p.add_string_data("");
  EXPECT_THAT((*read_one(p))->string_values(), ElementsAre("a", ""));
}

TEST(ReadTensor, NarrowElementsInInt32Data) {
  auto one = [](int type, int32_t entry, std::vector<int64_t> dims = {1}) {
    auto p = proto(type, std::move(dims));
    p.add_int32_data(entry);
    auto t = read_one(p);
    EXPECT_TRUE(t.ok()) << t.status().message();
    return *t;
  };
  EXPECT_THAT(one(TensorProto::INT8, -128)->as<int8_t>(), ElementsAre(-128));
  EXPECT_THAT(one(TensorProto::UINT8, 255)->as<uint8_t>(), ElementsAre(255));
  EXPECT_THAT(one(TensorProto::INT16, -32768)->as<int16_t>(), ElementsAre(-32768));
  EXPECT_THAT(one(TensorProto::UINT16, 65535)->as<uint16_t>(), ElementsAre(65535));
  EXPECT_THAT(one(TensorProto::BOOL, 7)->as<bool>(), ElementsAre(true));
  EXPECT_EQ(static_cast<float>(one(TensorProto::FLOAT16, 0xc000)->as<Half>()[0]), -2.0f);
  EXPECT_EQ(static_cast<float>(one(TensorProto::BFLOAT16, 0x3f80)->as<BFloat16>()[0]), 1.0f);
  for (int type : {TensorProto::FLOAT8E4M3FN, TensorProto::FLOAT8E4M3FNUZ, TensorProto::FLOAT8E5M2,
                   TensorProto::FLOAT8E5M2FNUZ, TensorProto::FLOAT8E8M0})
    EXPECT_EQ(one(type, 0x83)->bytes()[0], std::byte{0x83});
  for (int type : {TensorProto::INT4, TensorProto::UINT4, TensorProto::FLOAT4E2M1})
    EXPECT_EQ(one(type, 0xa7, {2})->bytes()[0], std::byte{0xa7});
  for (int type : {TensorProto::INT2, TensorProto::UINT2}) EXPECT_EQ(one(type, 0xa7, {4})->bytes()[0], std::byte{0xa7});
  for (int type : {TensorProto::FLOAT6E2M3, TensorProto::FLOAT6E3M2})
    EXPECT_EQ(one(type, 0x2f)->bytes()[0], std::byte{0x2f});
  auto p = proto(TensorProto::INT8, {1});
  p.add_int32_data(256);
  expect_error(p, ErrorKind::kInvalidModel, "entry 0 of int32_data: expected a int8, found 256");
}

TEST(ReadTensor, RawData) {
  for (int type = 1; type <= kMaxDType; ++type) {
    const DType dtype = *dtype_from_onnx(type);
    if (dtype == DType::kString) continue;
    auto p = proto(type, {3, 1});
    const auto size = static_cast<size_t>(*dtype_bytes(dtype, 3));
    p.set_raw_data(std::string(size, '\1'));
    auto t = read_one(p);
    ASSERT_TRUE(t.ok()) << t.status().message();
    EXPECT_EQ((*t)->dtype(), dtype);
    EXPECT_EQ((*t)->bytes().size(), size);
    EXPECT_EQ((*t)->bytes()[0], std::byte{1});
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*t)->bytes().data()) % 64, 0u);
    p.set_raw_data(std::string(size + 1, '\1'));
    expect_error(p, ErrorKind::kInvalidModel, fmt::format("expected {} bytes of raw_data, found {}", size, size + 1));
  }
  auto p = proto(TensorProto::BOOL, {2});
  p.set_raw_data(std::string("\x05\x00", 2));  // not 0 or 1
  EXPECT_EQ((*read_one(p))->bytes()[0], std::byte{1});
  p = proto(TensorProto::FLOAT, {0, 4});
  EXPECT_EQ((*read_one(p))->count(), 0);
}

TEST(ReadTensor, HostileSizes) {
  expect_error(proto(TensorProto::FLOAT, {-1}), ErrorKind::kInvalidModel, "expected sizes that are not negative");
  expect_error(proto(TensorProto::FLOAT, {int64_t{1} << 40, int64_t{1} << 40}), ErrorKind::kInvalidModel,
               "found [1099511627776,1099511627776]");
  expect_error(proto(TensorProto::FLOAT, {int64_t{1} << 61}), ErrorKind::kInvalidModel,
               "are more than 64 bits can count");
  expect_error(proto(TensorProto::FLOAT, {int64_t{1} << 50}), ErrorKind::kInvalidModel,
               "expected 1125899906842624 entries in float_data, found 0");
  expect_error(proto(TensorProto::STRING, {int64_t{1} << 50}), ErrorKind::kInvalidModel,
               "entries in string_data, found 0");
  expect_error(proto(TensorProto::FLOAT6E2M3, {int64_t{1} << 50}), ErrorKind::kInvalidModel,
               "entries in int32_data, found 0");
  expect_error(proto(0, {1}), ErrorKind::kInvalidModel, "expected an element type 1 to 28, found 0");
  expect_error(proto(1, std::vector<int64_t>(9, 1)), ErrorKind::kUnsupported, "rank 9");
  auto p = proto(1, {1});
  p.mutable_segment()->set_begin(0);
  expect_error(p, ErrorKind::kUnsupported, "segments");
}

class External : public testing::Test {
 protected:
  External() : folder_(std::filesystem::temp_directory_path() / fmt::format("fovea_external_{}", ::getpid())) {
    std::filesystem::create_directories(folder_ / "sub");
    std::string bytes(4096 + 16, '\0');
    const float values[] = {1, 2, 3, 4};
    std::memcpy(bytes.data() + 4096, values, sizeof values);
    std::memcpy(bytes.data() + 4, values, sizeof values);
    std::ofstream(folder_ / "sub" / "w.bin", std::ios::binary) << bytes;
  }
  ~External() override { std::filesystem::remove_all(folder_); }

  static TensorProto at(const std::string& location, const std::string& offset = "", const std::string& length = "") {
    auto p = proto(TensorProto::FLOAT, {4});
    p.set_data_location(TensorProto::EXTERNAL);
    auto add = [&](const char* key, const std::string& value) {
      if (value.empty()) return;
      auto* e = p.add_external_data();
      e->set_key(key), e->set_value(value);
    };
    add("location", location), add("offset", offset), add("length", length);
    return p;
  }

  std::filesystem::path folder_;
};

TEST_F(External, AlignedDataStaysInItsMap) {
  ExternalData external(folder_.string(), nullptr);
  auto p = at("sub/w.bin", "4096", "16"), q = p, unaligned = at("sub/w.bin", "4");
  auto a = read_tensor(p, external, "t"), b = read_tensor(q, external, "t"), c = read_tensor(unaligned, external, "t");
  ASSERT_TRUE(a.ok()) << a.status().message();
  ASSERT_TRUE(b.ok() && c.ok());
  EXPECT_EQ((*a)->bytes().data(), (*b)->bytes().data());
  EXPECT_THAT((*a)->as<float>(), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT((*c)->as<float>(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*c)->bytes().data()) % 64, 0u);
}

TEST_F(External, WhatIsRefused) {
  const std::string f = folder_.string();
  expect_error(at("none.bin"), ErrorKind::kInvalidModel, "none.bin: cannot open", f);
  expect_error(at("sub"), ErrorKind::kInvalidModel, "expected a regular file", f);
  expect_error(at("../w.bin"), ErrorKind::kInvalidModel,
               "external data '../w.bin': expected a relative path inside the model's folder", f);
  expect_error(at("sub/../../w.bin"), ErrorKind::kInvalidModel, "inside the model's folder", f);
  expect_error(at("/etc/passwd"), ErrorKind::kInvalidModel, "inside the model's folder", f);
  expect_error(at(""), ErrorKind::kInvalidModel, "expected a 'location', found none", f);
  expect_error(
      at("sub/w.bin", "4097"), ErrorKind::kInvalidModel,
      "external data 'sub/w.bin': expected 16 bytes at offset 4097, which is past the end of the file's 4112 bytes", f);
  expect_error(at("sub/w.bin", "9223372036854775807"), ErrorKind::kInvalidModel, "past the end", f);
  expect_error(at("sub/w.bin", "-4"), ErrorKind::kInvalidModel, "expected a number of bytes as 'offset', found '-4'",
               f);
  expect_error(at("sub/w.bin", "99999999999999999999"), ErrorKind::kInvalidModel,
               "expected a number of bytes as 'offset'", f);
  expect_error(at("sub/w.bin", "0", "12"), ErrorKind::kInvalidModel, "expected a length of 16 bytes, found 12", f);
  expect_error(at("sub/w.bin"), ErrorKind::kInvalidModel, "a model in memory has no folder to look in", "");
}

TEST_F(External, TheHashCoversIt) {
  auto m = test::chain({4}, {{"Add", {"x", "w"}, {"y"}}});
  auto* w = m.mutable_graph()->add_initializer();
  *w = at("sub/w.bin", "4096");
  w->set_name("w");
  ModelInfo before, same, after;
  ASSERT_TRUE(test::read(m, {}, &before, folder_.string()).ok());
  ASSERT_TRUE(test::read(m, {}, &same, folder_.string()).ok());
  std::fstream file(folder_ / "sub" / "w.bin", std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(4100), file.put('\x7f'), file.close();
  ASSERT_TRUE(test::read(m, {}, &after, folder_.string()).ok());
  EXPECT_EQ(before.hash, same.hash);
  EXPECT_NE(before.hash, after.hash);
}

TEST(ReadConstant, EveryForm) {
  auto constant = [](auto set) {
    auto m = test::chain({1}, {{"Relu", {"x"}, {"y"}}, {"Constant", {}, {"c"}, "const"}});
    set(*m.mutable_graph()->mutable_node(1)->add_attribute());
    test::add_output(*m.mutable_graph(), "c");
    auto g = test::read(m);
    EXPECT_TRUE(g.ok()) << g.status().message();
    return g.ok() ? (*g)->outputs[1]->constant : nullptr;
  };
  EXPECT_THAT(
      constant([](auto& a) { a.set_name("value_int"), a.set_type(a.INT), a.set_i(-5); })->template as<int64_t>(),
      ElementsAre(-5));
  EXPECT_THAT(
      constant([](auto& a) { a.set_name("value_float"), a.set_type(a.FLOAT), a.set_f(0.1f); })->template as<float>(),
      ElementsAre(0.1f));
  EXPECT_THAT(
      constant([](auto& a) { a.set_name("value_string"), a.set_type(a.STRING), a.set_s("s"); })->string_values(),
      ElementsAre("s"));
  EXPECT_THAT(constant([](auto& a) {
                a.set_name("value_ints"), a.set_type(a.INTS), a.add_ints(1), a.add_ints(2);
              })->template as<int64_t>(),
              ElementsAre(1, 2));
  EXPECT_THAT(constant([](auto& a) {
                a.set_name("value_floats"), a.set_type(a.FLOATS), a.add_floats(3);
              })->template as<float>(),
              ElementsAre(3));
  EXPECT_THAT(constant([](auto& a) { a.set_name("value_strings"), a.set_type(a.STRINGS), a.add_strings("t"); })->dims(),
              ElementsAre(1));
  EXPECT_THAT(constant([](auto& a) {
                a.set_name("value"), a.set_type(a.TENSOR), a.mutable_t()->set_data_type(TensorProto::INT32),
                    a.mutable_t()->add_int32_data(9);
              })->template as<int32_t>(),
              ElementsAre(9));
  auto m = test::chain({1}, {{"Relu", {"x"}, {"y"}}, {"Constant", {}, {"c"}, "const"}});
  auto* a = m.mutable_graph()->mutable_node(1)->add_attribute();
  a->set_name("sparse_value"), a->set_type(a->SPARSE_TENSOR);
  auto g = test::read(m);
  ASSERT_FALSE(g.ok());
  EXPECT_EQ(g.status().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(g.status().message(), HasSubstr("Constant 'const': attribute 'sparse_value' is a sparse tensor"));
}

}  // namespace
}  // namespace fovea::core
