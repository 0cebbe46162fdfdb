// ONNX's own operator tests: read by the reader, run by the interpreter. Every case whose operators fovea knows must
// pass; skips.txt names the exceptions with their reasons, and an exception that passes is an error too.
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>

#include "interpreter/interpreter.h"
#include "ir/infer.h"
#include "onnx/names.h"
#include "onnx/reader.h"
#include "ops/op.h"
#include "tests/conformance/case.h"

namespace fovea::core::conformance {
namespace {

const std::filesystem::path kCases = FOVEA_CONFORMANCE_CASES;

std::map<std::string, int>& counts() {
  static std::map<std::string, int> c;
  return c;
}

class Summary : public testing::Environment {
 public:
  void TearDown() override {
    std::printf("conformance:");
    for (const auto& [what, n] : counts()) std::printf(" %d %s,", n, what.c_str());
    std::printf(" %zu cases\n", case_names(kCases).size());
  }
};
const auto* const kSummary = testing::AddGlobalTestEnvironment(new Summary);

// What skips.txt says of a case: "KIND PATTERN: REASON".
struct Exception {
  std::string kind, reason;  // kind "" if there is no line
};

Exception find_exception(const std::string& name) {
  std::ifstream file(std::string(FOVEA_SOURCE_DIR) + "/tests/conformance/skips.txt");
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.find(' '), colon = line.find(": ");
    if (line.starts_with("#") || space == std::string::npos || colon == std::string::npos) continue;
    if (fnmatch(line.substr(space + 1, colon - space - 1).c_str(), name.c_str(), 0) == 0)
      return {line.substr(0, space), line.substr(colon + 2)};
  }
  return {};
}

// An operator that fovea does not know, or "".
std::string unknown_operator(const onnx::GraphProto& g) {
  for (const auto& n : g.node()) {
    if (n.op_type() != "Constant" && !find_onnx_op(n.domain(), n.op_type())) return n.op_type();
    for (const auto* sub : subgraphs(n))
      if (auto inner = unknown_operator(*sub); !inner.empty()) return inner;
  }
  return "";
}

Result<std::unique_ptr<Graph>> read(const onnx::ModelProto& model, const ReadOptions& options = {}) {
  const std::string bytes = model.SerializeAsString();
  return read_onnx_bytes(std::as_bytes(std::span(bytes.data(), bytes.size())), "model", "", options);
}

// Inference may know less than the run, never something else.
std::string against_inference(const Value& v, const Tensor& t, const Bindings& bindings) {
  if (v.dtype != t.dtype()) return fmt::format("inferred {}, computed {}", to_string(v.dtype), to_string(t.dtype()));
  bool ok = v.shape.size() == t.dims().size();
  for (size_t d = 0; ok && d < v.shape.size(); ++d) {
    const int64_t size = t.dims()[d];
    auto exact = v.shape[d].data_dependent() ? Result<int64_t>(size) : evaluate(v.shape[d], bindings);
    ok = exact.ok() && *exact == size && size >= v.shape[d].lo() && size <= v.shape[d].hi();
  }
  if (!ok) return fmt::format("inferred {}, computed [{}]", to_string(v.shape), fmt::join(t.dims(), ","));
  SymValuePtr actual = v.known && !v.constant ? known_of(t) : nullptr;
  for (size_t i = 0; actual && i < v.known->size(); ++i) {
    const auto& e = (*v.known)[i];
    if (!e || !e->is_const()) continue;
    const double a = e->float_value(), b = (*actual)[i]->float_value();
    if (a != b && !(std::isnan(a) && std::isnan(b)))
      return fmt::format("element {}: inferred {}, computed {}", i, a, b);
  }
  return "";
}

// Runs the graph and compares: "" or what is wrong.
std::string run(const Graph& graph, const Case& c, const Bindings& bindings) {
  std::vector<TensorPtr> inputs;
  for (const Value* in : graph.inputs)
    for (int k = 0; k < c.model.graph().input_size(); ++k)
      if (c.model.graph().input(k).name() == in->name) inputs.push_back(c.inputs[static_cast<size_t>(k)]);
  auto result = evaluate_graph(graph, inputs);
  if (!result.ok()) return result.status().message();
  for (size_t k = 0; k < c.outputs.size(); ++k) {
    const std::string& name = graph.output_names[k];
    if (auto d = difference(*c.outputs[k], *result->outputs[k], c.rtol, c.atol, c.loose); !d.empty())
      return fmt::format("output '{}': {}", name, d);
    if (auto d = against_inference(*graph.outputs[k], *result->outputs[k], bindings); !d.empty())
      return fmt::format("output '{}': {}", name, d);
  }
  return "";
}

constexpr double kLooseRtol = 1e-3;
constexpr std::string_view kNeedsConstants = "unsupported: ";

std::string run_as_written(const Case& c) {
  auto graph = read(c.model);
  if (!graph.ok())
    return std::string(graph.status().kind() == ErrorKind::kUnsupported ? kNeedsConstants : "") +
           graph.status().message();
  return run(**graph, c, [](const Symbol&) { return std::nullopt; });
}

// Every input a constant: inference sees all elements.
std::string run_with_constants(const Case& c) {
  onnx::ModelProto model = c.model;
  for (int k = 0; k < model.graph().input_size(); ++k) {
    auto bytes = read_file((kCases / c.name / fmt::format("input_{}.pb", k)).string());
    auto* t = model.mutable_graph()->add_initializer();
    if (!bytes.ok() || !t->ParseFromString(*bytes)) return "input does not parse";
    t->set_name(model.graph().input(k).name());
  }
  auto graph = read(model);
  if (!graph.ok()) return graph.status().message();
  return run(**graph, c, [](const Symbol&) { return std::nullopt; });
}

// Every size of every input a symbol of its own. What needs static sizes may say so.
std::string run_with_symbols(const Case& c) {
  onnx::ModelProto model = c.model;
  std::map<std::string, int64_t> sizes;
  ReadOptions options;
  for (int k = 0; k < model.graph().input_size(); ++k) {
    auto* shape = model.mutable_graph()->mutable_input(k)->mutable_type()->mutable_tensor_type()->mutable_shape();
    const Dims& dims = c.inputs[static_cast<size_t>(k)]->dims();
    for (int d = 0; d < shape->dim_size(); ++d) {
      const std::string name = fmt::format("i{}_{}", k, d);
      const int64_t size = dims[static_cast<size_t>(d)];
      // 1 stays 1: whether a size broadcasts is a property of the model, not of the run.
      if (size <= 1) continue;
      shape->mutable_dim(d)->set_dim_param(name);
      sizes[name] = size;
      options.bounds.push_back({name, 1, 1 << 20});
    }
  }
  auto graph = read(model, options);
  if (!graph.ok()) return graph.status().kind() == ErrorKind::kUnsupported ? "" : graph.status().message();
  return run(**graph, c, [&](const Symbol& s) -> std::optional<int64_t> {
    auto it = sizes.find(s.name);
    return it == sizes.end() ? std::nullopt : std::optional(it->second);
  });
}

// A case marked 'constants' has inputs that fovea wants as constants (axes): it must say so, and pass with constants.
std::string run_all(const Case& c, bool constants) {
  if (!c.no_tensors.empty()) return c.no_tensors;
  const std::string as_written = run_as_written(c);
  if (!constants && !as_written.empty()) return as_written;
  if (constants && !as_written.starts_with(kNeedsConstants))
    return as_written.empty() ? "passes with inputs that are no constants" : as_written;
  if (auto wrong = run_with_constants(c); !wrong.empty()) return "with constant inputs: " + wrong;
  if (auto wrong = run_with_symbols(c); !wrong.empty()) return "with symbolic sizes: " + wrong;
  return "";
}

class Conformance : public testing::TestWithParam<std::string> {};

TEST_P(Conformance, Case) {
  auto c = load_case(kCases, GetParam());
  ASSERT_TRUE(c.ok()) << c.status().message();
  for (const auto& o : c->model.opset_import())
    if (o.domain().empty() && o.version() < kOldestOpset) {
      ++counts()["older than opset 11"];
      GTEST_SKIP() << "opset " << o.version();
    }
  if (auto unknown = unknown_operator(c->model.graph()); !unknown.empty()) {
    ++counts()["with operators not known yet"];
    GTEST_SKIP() << "operator " << unknown;
  }
  const Exception exception = find_exception(GetParam());
  if (exception.kind == "tolerance") c->rtol = std::max(c->rtol, kLooseRtol), c->loose = true;
  const bool skipped = exception.kind == "skip";
  const std::string wrong = run_all(*c, exception.kind == "constants");
  ++counts()[skipped ? "known exceptions" : wrong.empty() ? "passed" : "failed"];
  if (!skipped) {
    EXPECT_EQ(wrong, "");
    return;
  }
  EXPECT_NE(wrong, "") << "passes, but tests/conformance/skips.txt says: " << exception.reason;
  GTEST_SKIP() << exception.reason;
}

INSTANTIATE_TEST_SUITE_P(Onnx, Conformance, testing::ValuesIn(case_names(kCases)),
                         [](const auto& p) { return p.param; });

}  // namespace

TEST(ConformanceCases, AreThere) {
  EXPECT_GT(case_names(kCases).size(), 1500u) << "run tests/conformance/generate_cases.py";
}

}  // namespace fovea::core::conformance
