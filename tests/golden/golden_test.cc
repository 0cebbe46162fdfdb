// Graphs before and after passes, as text: every tests/golden/*.txt. A file is
//
//   # the equation
//   passes: affine dead_code        in this order, or "pipeline" for all of it
//   tolerance: 1e-6                 of the largest output, for passes that round differently; otherwise outputs are
//   equal
//   ---
//   the graph before
//   ---
//   the graph after
//
// Both are evaluated on random inputs as well. FOVEA_UPDATE_GOLDEN=1 writes the last part from what the passes do.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <random>
#include <sstream>

#include "base/file.h"
#include "interpreter/interpreter.h"
#include "ir/parse.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "ops/op.h"
#include "passes/pass.h"
#include "patterns/patterns.h"

namespace fovea::core {
namespace {

struct Case {
  std::string head;  // comments and settings, as written
  std::vector<std::string> passes;
  double tolerance = 0;
  std::string before, after;
};

Case read_case(const std::string& path) {
  auto text = read_file(path);
  EXPECT_TRUE(text.ok()) << text.status().message();
  Case c;
  std::istringstream in(text.ok() ? *text : "");
  std::string line;
  int part = 0;
  while (std::getline(in, line)) {
    if (line == "---") {
      ++part;
      continue;
    }
    (part == 0 ? c.head : part == 1 ? c.before : c.after) += line + "\n";
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (part == 0 && key == "passes:")
      for (std::string pass; words >> pass;) c.passes.push_back(pass);
    if (part == 0 && key == "tolerance:") words >> c.tolerance;
  }
  EXPECT_EQ(part >= 1, true) << path << " has no line ---";
  return c;
}

std::unique_ptr<Graph> parsed(const std::string& text) {
  auto g = parse(text, find_op);
  EXPECT_TRUE(g.ok()) << g.status().message() << "\n" << text;
  return g.ok() ? *std::move(g) : nullptr;
}

Status run_passes(Graph& g, const std::vector<std::string>& names) {
  const std::vector<Stage> all = pipeline(patterns());
  PassOptions options;
  if (names == std::vector<std::string>{"pipeline"}) return run_stages(g, all, options).status();
  for (const std::string& name : names) {
    const Pass* pass = find_pass(all, name);
    if (!pass) return invalid_argument("there is no pass '{}'", name);
    const Stage one{name, {pass, 1}};
    FOVEA_TRY(run_stages(g, {&one, 1}, options).status());
  }
  return {};
}

TensorPtr random_tensor(DType type, const Dims& dims, std::mt19937_64& rng) {
  auto t = Tensor::allocate(type, dims);
  EXPECT_TRUE(t.ok());
  std::normal_distribution<float> normal;
  dispatch_dtype(type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* to = reinterpret_cast<T*>((*t)->mutable_data());
    for (int64_t i = 0; i < (*t)->count(); ++i) {
      if constexpr (std::is_same_v<T, bool>) to[i] = rng() % 2;
      else if constexpr (std::is_integral_v<T>) to[i] = static_cast<T>(rng() % 4);
      else to[i] = static_cast<T>(normal(rng));
    }
  });
  return *t;
}

std::vector<TensorPtr> random_inputs(const Graph& g, std::mt19937_64& rng) {
  std::map<std::string, int64_t> sizes;
  for (const SymbolPtr& s : g.symbols())
    sizes[s->name] =
        s->lo + static_cast<int64_t>(rng() % static_cast<uint64_t>(std::min<int64_t>(s->hi - s->lo, 5) + 1));
  std::vector<TensorPtr> inputs;
  for (const Value* v : g.inputs) {
    Dims dims;
    for (const Dim& d : v->shape) {
      auto size = evaluate(d, [&](const Symbol& s) { return std::optional(sizes.at(s.name)); });
      EXPECT_TRUE(size.ok());
      dims.push_back(size.ok() ? *size : 0);
    }
    inputs.push_back(random_tensor(v->dtype, dims, rng));
  }
  return inputs;
}

void expect_close(const Tensor& a, const Tensor& b, double tolerance) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.dims(), b.dims());
  const auto x = a.to_doubles(), y = b.to_doubles();
  double largest = 0;
  for (double v : x)
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    ASSERT_LE(std::fabs(x[i] - y[i]), tolerance * largest)
        << "element " << i << ": " << x[i] << " before, " << y[i] << " after";
  }
}

void expect_same_results(const Graph& before, const Graph& after, double tolerance) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 rng(seed);
    const auto inputs = random_inputs(before, rng);
    auto old_results = evaluate_graph(before, inputs), new_results = evaluate_graph(after, inputs);
    ASSERT_TRUE(old_results.ok()) << old_results.status().message();
    ASSERT_TRUE(new_results.ok()) << new_results.status().message();
    ASSERT_EQ(old_results->outputs.size(), new_results->outputs.size());
    for (size_t i = 0; i < old_results->outputs.size(); ++i) {
      SCOPED_TRACE("output " + before.output_names[i]);
      expect_close(*old_results->outputs[i], *new_results->outputs[i], tolerance);
    }
  }
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, PassesGiveTheGraphAndTheSameNumbers) {
  const std::string path = std::string(FOVEA_SOURCE_DIR) + "/tests/golden/" + GetParam();
  const Case c = read_case(path);
  auto before = parsed(c.before), after = parsed(c.before);
  ASSERT_TRUE(before && after);
  ASSERT_FALSE(c.passes.empty()) << path << " names no passes";
  Status valid = verify(*before);
  ASSERT_TRUE(valid.ok()) << valid.message();
  Status done = run_passes(*after, c.passes);
  ASSERT_TRUE(done.ok()) << done.message();
  const std::string text = print(*after);
  if (std::getenv("FOVEA_UPDATE_GOLDEN")) {
    ASSERT_TRUE(write_file(path, c.head + "---\n" + c.before + "---\n" + text).ok());
  } else {
    EXPECT_EQ(text, c.after) << "FOVEA_UPDATE_GOLDEN=1 golden_test rewrites the files";
  }
  expect_same_results(*before, *after, c.tolerance);
  // A second run has nothing left to do.
  ASSERT_TRUE(run_passes(*after, c.passes).ok());
  EXPECT_EQ(print(*after), text) << "the passes do not settle";
}

std::vector<std::string> files() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(FOVEA_SOURCE_DIR) + "/tests/golden"))
    if (entry.path().extension() == ".txt") names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, testing::ValuesIn(files()),
                         [](const auto& file) { return file.param.substr(0, file.param.size() - 4); });

}  // namespace
}  // namespace fovea::core
