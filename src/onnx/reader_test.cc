#include "onnx/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "ir/verify.h"
#include "onnx/testing.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

using test::add_attribute;
using test::add_initializer;
using test::add_node;
using test::chain;
using test::read;
using testing::HasSubstr;

// The graph, or a failed test with the message.
std::unique_ptr<Graph> must_read(const onnx::ModelProto& m, const ReadOptions& options = {}) {
  auto g = read(m, options);
  EXPECT_TRUE(g.ok()) << g.status().message();
  return g.ok() ? *std::move(g) : nullptr;
}

void expect_error(const onnx::ModelProto& m, ErrorKind kind, const std::string& what, const ReadOptions& options = {}) {
  auto g = read(m, options);
  ASSERT_FALSE(g.ok()) << "expected: " << what;
  EXPECT_EQ(g.status().kind(), kind) << g.status().message();
  EXPECT_THAT(g.status().message(), HasSubstr(what));
  EXPECT_THAT(g.status().message(), HasSubstr("model.onnx"));
}

TEST(Reader, NamesSymbolsAndOrigins) {
  auto m = chain({"n", 3, "height", "width"}, {{"Relu", {"x"}, {"r"}, "/a/Relu"}, {"Add", {"r", "x"}, {"y"}}});
  auto g = must_read(m);
  ASSERT_TRUE(g);
  EXPECT_TRUE(verify(*g).ok());
  EXPECT_EQ(g->inputs[0]->name, "x");
  EXPECT_EQ(to_string(g->inputs[0]->shape), "[n,3,height,width]");
  EXPECT_EQ(g->symbol("n")->hi, 1024);
  EXPECT_EQ(g->symbol("height")->hi, 8192);
  EXPECT_EQ(g->output_names, std::vector<std::string>{"y"});
  EXPECT_EQ(g->outputs[0]->name, "y");
  EXPECT_EQ(g->nodes().front()->origin, Origin{"/a/Relu"});
  EXPECT_EQ(g->nodes().back()->origin, Origin{"Add(y)"});
  EXPECT_EQ(to_string(g->outputs[0]->shape), "[n,3,height,width]");
}

TEST(Reader, SizesOfInputs) {
  auto m = chain({"batch size", "", "", -1}, {{"Relu", {"x"}, {"y"}}});
  test::add_input(*m.mutable_graph(), "mask", {"batch size", "2h", "true", 0});
  test::add_input(*m.mutable_graph(), "points", {"", "", "n"});
  auto g = must_read(m);
  ASSERT_TRUE(g);
  EXPECT_EQ(to_string(g->inputs[0]->shape), "[batch_size,c,h,w]");
  EXPECT_EQ(to_string(g->inputs[1]->shape), "[batch_size,_2h,true_,0]");
  EXPECT_EQ(to_string(g->inputs[2]->shape), "[d,d1,n]");
  EXPECT_EQ(g->symbol("n")->hi, 8192);
  EXPECT_EQ(g->symbol("batch_size")->hi, 1024);
}

TEST(Reader, BoundsCanBeGiven) {
  auto m = chain({"N", 3, "h", "w"}, {{"Relu", {"x"}, {"y"}}});
  auto g = must_read(m, {.bounds = {{"N", 2, 16}, {"h", 320, 640}}});
  ASSERT_TRUE(g);
  EXPECT_EQ(g->symbol("N")->lo, 2);
  EXPECT_EQ(g->symbol("N")->hi, 16);
  EXPECT_EQ(g->symbol("h")->hi, 640);
  EXPECT_EQ(g->symbol("w")->hi, 8192);
  expect_error(m, ErrorKind::kInvalidArgument, "bounds for 'hh': expected one of the model's symbolic sizes (N, h, w)",
               {.bounds = {{"hh", 1, 2}}});
  expect_error(m, ErrorKind::kInvalidArgument, "expected 0 <= lowest <= highest, found 5 to 2",
               {.bounds = {{"h", 5, 2}}});
}

TEST(Reader, InputsThatItRefuses) {
  auto m = chain({1, 2}, {{"Relu", {"x"}, {"y"}}});
  auto* tensor = m.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type();
  tensor->mutable_shape()->mutable_dim(0)->set_dim_value(-7);
  expect_error(m, ErrorKind::kInvalidModel, "input 'x': expected a size of at least 0");
  tensor->clear_shape();
  expect_error(m, ErrorKind::kInvalidModel, "input 'x': expected a declared shape");
  tensor->mutable_shape();
  tensor->set_elem_type(99);
  expect_error(m, ErrorKind::kInvalidModel, "input 'x': expected an element type 1 to 28, found 99");
  tensor->set_elem_type(1);
  for (int i = 0; i < 9; ++i) tensor->mutable_shape()->add_dim()->set_dim_value(1);
  expect_error(m, ErrorKind::kUnsupported, "input 'x': rank 9");
  m.mutable_graph()->mutable_input(0)->mutable_type()->mutable_sequence_type();
  expect_error(m, ErrorKind::kUnsupported, "input 'x': expected a tensor");
}

TEST(Reader, AnInitializerThatIsAnInputIsAConstant) {
  auto m = chain({2}, {{"Add", {"x", "w"}, {"y"}}});
  test::add_input(*m.mutable_graph(), "w", {2});
  auto* t = add_initializer(*m.mutable_graph(), "w", {2}, onnx::TensorProto::FLOAT);
  t->add_float_data(1), t->add_float_data(2);
  auto g = must_read(m);
  ASSERT_TRUE(g);
  EXPECT_EQ(g->inputs.size(), 1u);
  EXPECT_TRUE(g->find("w")->is_constant());
}

TEST(Reader, DeclaredInnerShapesAreIgnored) {
  auto m = chain({2, 3}, {{"Relu", {"x"}, {"r"}}, {"Relu", {"r"}, {"y"}}});
  auto* v = m.mutable_graph()->add_value_info();
  v->set_name("r");
  v->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(77);
  auto g = must_read(m);
  ASSERT_TRUE(g);
  EXPECT_EQ(to_string(g->find("r")->shape), "[2,3]");
}

TEST(Reader, NodesInAnyOrder) {
  auto m = chain({2}, {{"Add", {"b", "a"}, {"y"}}, {"Relu", {"a"}, {"b"}}, {"Relu", {"x"}, {"a"}}});
  auto g = must_read(m);
  ASSERT_TRUE(g);
  EXPECT_TRUE(verify(*g).ok());
  std::vector<std::string> names;
  for (const auto& n : g->nodes()) names.push_back(n->output()->name);
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "y"}));
}

TEST(Reader, WrongGraphs) {
  expect_error(chain({2}, {{"Relu", {"x"}, {"a"}, "first"},
                           {"Add", {"a", "c"}, {"b"}, "one"},
                           {"Relu", {"b"}, {"c"}, "two"},
                           {"Relu", {"c"}, {"y"}}}),
               ErrorKind::kInvalidModel, "the graph has a cycle: Add 'one' -> Relu 'two' -> Add 'one'");
  expect_error(chain({2}, {{"Add", {"y", "x"}, {"y"}, "self"}}), ErrorKind::kInvalidModel,
               "cycle: Add 'self' -> Add 'self'");
  expect_error(chain({2}, {{"Add", {"x", "lost"}, {"y"}, "adder"}}), ErrorKind::kInvalidModel,
               "Add 'adder': reads 'lost', which no node, input or initializer provides");
  expect_error(chain({2}, {{"Relu", {"x"}, {"y"}}, {"Relu", {"x"}, {"y"}, "again"}}), ErrorKind::kInvalidModel,
               "Relu 'again': output 'y' has the name of another value");
  expect_error(chain({2}, {{"Relu", {"x"}, {"x"}}, {"Relu", {"x"}, {"y"}}}), ErrorKind::kInvalidModel,
               "output 'x' has the name of another value");
  expect_error(chain({2}, {{"Relu", {"x"}, {"z"}}}), ErrorKind::kInvalidModel,
               "output 'y' of graph 'g' is provided by no node");
  expect_error(chain({2}, {{"Relu", {}, {"y"}, "none"}}), ErrorKind::kInvalidModel, "Relu 'none'");
  expect_error(chain({2}, {{"Relu", {""}, {"y"}, "none"}}), ErrorKind::kInvalidModel, "Relu 'none'");
  expect_error(chain({2}, {{"Relu", {"x"}, {"y", "z"}, "two"}}), ErrorKind::kInvalidModel, "Relu 'two'");
  auto m = chain({2}, {{"Relu", {"x"}, {"y"}}});
  m.mutable_graph()->clear_output();
  expect_error(m, ErrorKind::kInvalidModel, "the graph has no outputs");
  m = chain({2}, {{"Relu", {"x"}, {"y"}}});
  test::add_input(*m.mutable_graph(), "x", {2});
  expect_error(m, ErrorKind::kInvalidModel, "input 'x' is given twice");
  m = chain({2}, {{"Relu", {"x"}, {"y"}, "r"}});
  for (int i = 0; i < 2; ++i) add_attribute(m.mutable_graph()->mutable_node(0), "alpha", onnx::AttributeProto::FLOAT);
  expect_error(m, ErrorKind::kInvalidModel, "Relu 'r': attribute 'alpha' is given twice");
}

TEST(Reader, UnknownOperatorsAreListedTogether) {
  auto m = chain({2}, {{"Rleu", {"x"}, {"a"}, "n1"},
                       {"Rleu", {"a"}, {"b"}, "n2"},
                       {"Add", {"b", "x"}, {"c"}},
                       {"Loop", {"c"}, {"d"}, "the_loop"},
                       {"Special", {"d"}, {"y"}, "s", "com.microsoft"}});
  expect_error(m, ErrorKind::kUnsupported, "3 operators are not supported");
  expect_error(m, ErrorKind::kUnsupported, "Rleu (2 nodes, first Rleu 'n1'; did you mean Relu?)");
  expect_error(m, ErrorKind::kUnsupported, "Loop (1 node, first Loop 'the_loop')");
  expect_error(m, ErrorKind::kUnsupported, "com.microsoft:Special (1 node, first Special 's')");
  m = chain({2}, {{"Relu", {"x"}, {"y"}, "r", "custom"}});
  expect_error(m, ErrorKind::kUnsupported, "custom:Relu");
  m = chain({2}, {{"Block", {"x"}, {"y"}, "b", "local"}});
  auto* f = m.add_functions();
  f->set_name("Block"), f->set_domain("local");
  expect_error(m, ErrorKind::kUnsupported, "a function of the model: inline it");
}

TEST(Reader, Opsets) {
  for (int64_t opset : {kOldestOpset, kNewestOpset}) {
    auto m = chain({2}, {{"Relu", {"x"}, {"y"}}});
    m.mutable_opset_import(0)->set_version(opset);
    ModelInfo info;
    EXPECT_TRUE(read(m, {}, &info).ok());
    EXPECT_EQ(info.opset, opset);
  }
  auto m = chain({2}, {{"Relu", {"x"}, {"y"}}});
  m.mutable_opset_import(0)->set_version(10);
  expect_error(m, ErrorKind::kUnsupported, "opset 10 of the default domain: fovea reads 11 to 28");
  m.mutable_opset_import(0)->set_version(kNewestOpset + 1);
  expect_error(m, ErrorKind::kUnsupported, "opset 29 of the default domain");
  m.mutable_opset_import(0)->set_version(-3);
  expect_error(m, ErrorKind::kInvalidModel, "expected an opset of at least 1, found -3");
  m.clear_opset_import();
  expect_error(m, ErrorKind::kInvalidModel, "expected an opset_import");
}

TEST(Reader, FilesThatAreNoModels) {
  auto refused = [](const std::string& bytes, const std::string& what) {
    auto g = read(bytes);
    ASSERT_FALSE(g.ok()) << what;
    EXPECT_EQ(g.status().kind(), ErrorKind::kInvalidModel) << g.status().message();
    EXPECT_THAT(g.status().message(), HasSubstr(what));
  };
  refused("", "empty: expected an ONNX file, found 0 bytes");
  refused("hello, world",
          "not an ONNX file: expected a serialized ModelProto, found 12 bytes that begin with 68 65 6c 6c 6f 2c 20 77");
  refused("version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer");
  refused(std::string("PK\x03\x04") + std::string(40, 'x'), "a zip archive");
  refused("{\"nodes\": []}", "found text");
  refused(std::string("\x08\x08", 2), "expected a ModelProto with a graph, found none");
  auto m = chain({2}, {{"Relu", {"x"}, {"y"}}});
  const std::string whole = m.SerializeAsString();
  refused(whole.substr(0, whole.size() - 12), "truncated: field 7 of ModelProto needs");
  std::string junk = whole;
  junk += "\xff\xff\xff";
  refused(junk, "damaged: expected a field of ModelProto at byte " + std::to_string(whole.size()));
}

TEST(Reader, FilesOnDisk) {
  const auto missing = read_onnx("/nonexistent/model.onnx");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().kind(), ErrorKind::kInvalidArgument);
  EXPECT_THAT(missing.status().message(), HasSubstr("/nonexistent/model.onnx: cannot open"));

  const auto path = std::filesystem::temp_directory_path() / fmt::format("fovea_reader_{}.onnx", ::getpid());
  std::ofstream(path, std::ios::binary) << chain({2}, {{"Relu", {"x"}, {"y"}}}).SerializeAsString();
  ModelInfo a, b;
  EXPECT_TRUE(read_onnx(path.string(), {}, &a).ok());
  EXPECT_TRUE(read_onnx(path.string(), {}, &b).ok());
  EXPECT_EQ(a.hash, b.hash);
  EXPECT_EQ(a.producer, "test");
  EXPECT_EQ(a.ir_version, 8);
  std::filesystem::resize_file(path, uint64_t{1} << 31);  // sparse
  const auto large = read_onnx(path.string());
  ASSERT_FALSE(large.ok());
  EXPECT_EQ(large.status().kind(), ErrorKind::kUnsupported);
  EXPECT_THAT(
      large.status().message(),
      HasSubstr("2147483648 bytes, more than the 2 GiB that protobuf can hold: save the model with external data"));
  std::filesystem::remove(path);
}

TEST(Reader, ErrorsOfOperatorsNameTheNode) {
  auto m = chain({2, 3}, {{"Add", {"x", "w"}, {"y"}, "adder"}});
  auto* t = add_initializer(*m.mutable_graph(), "w", {5}, onnx::TensorProto::FLOAT);
  for (int i = 0; i < 5; ++i) t->add_float_data(0);
  expect_error(m, ErrorKind::kInvalidModel, "'adder'");
  m = chain({2}, {{"Relu", {"x"}, {"y"}, "r"}});
  auto* a = add_attribute(m.mutable_graph()->mutable_node(0), "t", onnx::AttributeProto::TENSOR);
  a->mutable_t()->set_data_type(1);
  a->mutable_t()->add_dims(5);
  expect_error(m, ErrorKind::kInvalidModel, "Relu 'r': attribute 't': expected 5 entries in float_data, found 0");
  a->set_type(onnx::AttributeProto::SPARSE_TENSOR);
  expect_error(m, ErrorKind::kUnsupported, "Relu 'r': attribute 't' is a sparse tensor");
}

}  // namespace
}  // namespace fovea::core
