// Damaged ONNX files: whatever the bytes, reading gives a graph that holds or an error that says something; what can be
// read can be evaluated or is refused. FOVEA_FUZZ_ROUNDS multiplies the work.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "interpreter/interpreter.h"
#include "ir/verify.h"
#include "onnx/testing.h"

namespace fovea::core {
namespace {

using onnx::TensorProto;

int rounds(int base) {
  const char* factor = std::getenv("FOVEA_FUZZ_ROUNDS");
  return base * (factor ? std::max(1, std::atoi(factor)) : 1);
}

void add_ints(onnx::GraphProto& g, const std::string& name, std::initializer_list<int64_t> values) {
  auto* t = test::add_initializer(g, name, {static_cast<int64_t>(values.size())}, TensorProto::INT64);
  for (int64_t v : values) t->add_int64_data(v);
}

void set_ints(onnx::NodeProto* n, const std::string& name, std::initializer_list<int64_t> values) {
  auto* a = test::add_attribute(n, name, onnx::AttributeProto::INTS);
  for (int64_t v : values) a->add_ints(v);
}

void set_int(onnx::NodeProto* n, const std::string& name, int64_t value) {
  test::add_attribute(n, name, onnx::AttributeProto::INT)->set_i(value);
}

// What detectors are made of.
onnx::ModelProto convolutions() {
  auto m = test::chain({1, 2, 6, 6}, {});
  auto& g = *m.mutable_graph();
  auto* w = test::add_initializer(g, "w", {3, 2, 3, 3}, TensorProto::FLOAT);
  w->set_raw_data(std::string(3 * 2 * 9 * 4, '\x3c'));
  auto* conv = test::add_node(g, {"Conv", {"x", "w"}, {"c"}, "conv"});
  set_ints(conv, "pads", {1, 1, 1, 1}), set_ints(conv, "strides", {2, 2});
  test::add_node(g, {"Relu", {"c"}, {"r"}, "relu"});
  set_ints(test::add_node(g, {"MaxPool", {"r"}, {"p"}, "pool"}), "kernel_shape", {2, 2});
  add_ints(g, "shape", {0, 3, -1});
  test::add_node(g, {"Reshape", {"p", "shape"}, {"s"}, "reshape"});
  set_ints(test::add_node(g, {"Transpose", {"s"}, {"t"}, "transpose"}), "perm", {0, 2, 1});
  set_int(test::add_node(g, {"Softmax", {"t"}, {"y"}, "softmax"}), "axis", -1);
  return m;
}

// Sizes that data decides, indices, slices.
onnx::ModelProto indices() {
  auto m = test::chain({"n", 4}, {{"NonZero", {"x"}, {"nz"}, "nonzero"}});
  auto& g = *m.mutable_graph();
  set_ints(test::add_node(g, {"Transpose", {"nz"}, {"nt"}, "transpose"}), "perm", {1, 0});
  test::add_node(g, {"GatherND", {"x", "nt"}, {"v"}, "gathernd"});
  add_ints(g, "k", {2}), add_ints(g, "starts", {0}), add_ints(g, "ends", {3}), add_ints(g, "axes", {0});
  test::add_node(g, {"Shape", {"v"}, {"vs"}, "shape"});
  auto* one = test::add_initializer(g, "three", {1}, TensorProto::INT64);
  one->add_int64_data(3);
  set_int(test::add_node(g, {"Concat", {"vs", "three"}, {"both"}, "concat"}), "axis", 0);
  test::add_node(g, {"ReduceMin", {"both"}, {"least"}, "min"});
  set_int(g.mutable_node(g.node_size() - 1), "keepdims", 1);
  test::add_node(g, {"TopK", {"v", "least"}, {"tv", "ti"}, "topk"});
  test::add_node(g, {"Slice", {"ti", "starts", "ends", "axes"}, {"y"}, "slice"});
  test::add_node(g, {"Expand", {"three", "both"}, {"e"}, "expand"});
  test::add_output(g, "tv");
  return m;
}

// Scopes.
onnx::ModelProto branches() {
  auto m = test::empty_model();
  auto& g = *m.mutable_graph();
  test::add_input(g, "c", {}, TensorProto::BOOL);
  test::add_input(g, "x", {2, 3});
  auto* n = test::add_node(g, {"If", {"c"}, {"y"}, "the_if"});
  auto* yes = test::add_attribute(n, "then_branch", onnx::AttributeProto::GRAPH)->mutable_g();
  test::add_node(*yes, {"Relu", {"x"}, {"a"}});
  test::add_output(*yes, "a");
  auto* no = test::add_attribute(n, "else_branch", onnx::AttributeProto::GRAPH)->mutable_g();
  auto* constant = test::add_node(*no, {"Constant", {}, {"k"}});
  auto* t = test::add_attribute(constant, "value", onnx::AttributeProto::TENSOR)->mutable_t();
  t->set_data_type(TensorProto::FLOAT), t->add_dims(3), t->set_raw_data(std::string(12, '\x3f'));
  test::add_node(*no, {"Add", {"x", "k"}, {"b"}});
  test::add_output(*no, "b");
  test::add_output(g, "y");
  return m;
}

// Types of every kind.
onnx::ModelProto types() {
  auto m = test::chain({3}, {{"Relu", {"x"}, {"y"}}});
  auto& g = *m.mutable_graph();
  for (int type = 1; type <= kMaxDType; ++type) {
    const std::string name = fmt::format("t{}", type);
    auto* t = test::add_initializer(g, name, {2}, type);
    if (type == TensorProto::STRING) t->add_string_data("a"), t->add_string_data("b");
    else t->set_raw_data(std::string(static_cast<size_t>(*dtype_bytes(*dtype_from_onnx(type), 2)), '\1'));
    auto* cast = test::add_node(g, {"Cast", {name}, {name + "f"}});
    set_int(cast, "to", type == TensorProto::STRING ? type : TensorProto::FLOAT);
    if (type != TensorProto::STRING && type != TensorProto::COMPLEX64 && type != TensorProto::COMPLEX128)
      test::add_output(g, name + "f");
    else g.mutable_node()->RemoveLast();
  }
  return m;
}

class Damage {
 public:
  explicit Damage(uint64_t seed) : random_(seed) {}

  std::string operator()(std::string bytes, const std::string& other) {
    const int count = 1 + static_cast<int>(below(4));
    for (int i = 0; i < count && !bytes.empty(); ++i) once(bytes, other);
    return bytes;
  }

 private:
  size_t below(size_t n) { return n ? random_() % n : 0; }

  void once(std::string& bytes, const std::string& other) {
    static constexpr unsigned char kTelling[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, 8, 64};
    const size_t at = below(bytes.size());
    switch (below(8)) {
      case 0: bytes[at] = static_cast<char>(random_()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
      case 2: bytes[at] = static_cast<char>(kTelling[below(sizeof kTelling)]); break;
      case 3: bytes.resize(at); break;
      case 4: bytes.erase(at, 1 + below(8)); break;
      case 5: bytes.insert(at, bytes.substr(below(bytes.size()), below(40))); break;
      case 6: bytes.insert(at, other.substr(below(other.size()), below(60))); break;
      default: bytes[at] = static_cast<char>(bytes[at] + (below(2) ? 1 : -1)); break;
    }
  }

  std::mt19937_64 random_;
};

// Zeros and ones for every input, symbolic sizes at 3.
std::vector<TensorPtr> some_inputs(const Graph& g) {
  std::vector<TensorPtr> inputs;
  for (const Value* v : g.inputs) {
    Dims dims;
    for (const Dim& d : v->shape) dims.push_back(d.constant().value_or(3));
    auto count = element_count(dims);
    if (!count || *count > 10000 || dtype_bits(v->dtype) == 0) return {};
    auto t = *Tensor::allocate(v->dtype, dims);
    for (size_t i = 0; i < t->bytes().size(); i += 3) t->mutable_data()[i] = std::byte{1};
    inputs.push_back(std::move(t));
  }
  return inputs;
}

void try_model(const std::string& bytes, int& readable) {
  auto g = test::read(bytes);
  if (!g.ok()) {
    ASSERT_FALSE(g.status().message().empty());
    ASSERT_NE(g.status().kind(), ErrorKind::kInternal) << g.status().message();
    return;
  }
  ++readable;
  const Status verified = verify(**g);
  ASSERT_TRUE(verified.ok()) << verified.message();
  auto inputs = some_inputs(**g);
  if (inputs.size() != (*g)->inputs.size()) return;
  GraphOptions options;
  options.max_bytes = 1 << 22;
  (void)evaluate_graph(**g, inputs, options).ok();
}

TEST(OnnxFuzz, TheSeedsAreValid) {
  for (const auto& m : {convolutions(), indices(), branches(), types()}) {
    auto g = test::read(m);
    ASSERT_TRUE(g.ok()) << g.status().message();
    auto inputs = some_inputs(**g);
    auto r = evaluate_graph(**g, inputs);
    ASSERT_TRUE(r.ok()) << r.status().message();
  }
}

TEST(OnnxFuzz, RandomDamage) {
  const std::string seeds[] = {convolutions().SerializeAsString(), indices().SerializeAsString(),
                               branches().SerializeAsString(), types().SerializeAsString()};
  int readable = 0;
  for (int i = 0; i < rounds(4000); ++i) {
    SCOPED_TRACE(fmt::format("seed {}", i));
    Damage damage(static_cast<uint64_t>(i));
    try_model(damage(seeds[i % 4], seeds[(i / 4) % 4]), readable);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(readable, 100) << "the damage is too great to test what comes after parsing";
}

TEST(OnnxFuzz, EveryTruncation) {
  for (const auto& m : {indices(), branches()}) {
    const std::string whole = m.SerializeAsString();
    int readable = 0;
    for (size_t n = 0; n < whole.size(); ++n) {
      SCOPED_TRACE(fmt::format("{} bytes", n));
      try_model(whole.substr(0, n), readable);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace fovea::core
