// Every row of kernels.inc, every group it matches and every layout it offers, on every case of row_cases.inc, against
// the reference kernels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "base/cpu_features.h"
#include "kernels/cpu/row_cases.h"
#include "kernels/cpu/row_runner.h"
#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

using rows::Case;
using rows::compare;
using rows::Comparison;

constexpr uint32_t kSeed = 20240611;

using rows::run_reference;
using rows::Values;

// How many times larger than in the sum itself the terms are that a Winograd convolution adds up: for inputs of size 1,
// the root of the sum over both dimensions of |A|^2 (|B|^2 x |G|^2), against that of a 3x3 window. With the textbook's
// points (0, +-1, +-2), whose growth is no less than that of the points which libraries choose.
double winograd_growth(int tile) {
  using Matrix = std::vector<std::vector<double>>;
  const Matrix b4 = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                     {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
  const Matrix g4 = {{.25, 0, 0},
                     {-1. / 6, -1. / 6, -1. / 6},
                     {-1. / 6, 1. / 6, -1. / 6},
                     {1. / 24, 1. / 12, 1. / 6},
                     {1. / 24, -1. / 12, 1. / 6},
                     {0, 0, 1}};
  const Matrix a4 = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
  const Matrix b2 = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
  const Matrix g2 = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
  const Matrix a2 = {{1, 1, 1, 0}, {0, 1, -1, -1}};
  const Matrix &b = tile == 4 ? b4 : b2, &g = tile == 4 ? g4 : g2, &a = tile == 4 ? a4 : a2;
  auto squares = [](const std::vector<double>& row) {
    double s = 0;
    for (double v : row) s += v * v;
    return s;
  };
  double worst = 0;
  for (const auto& row : a) {
    double s = 0;
    for (size_t k = 0; k < row.size(); ++k) s += row[k] * row[k] * squares(b[k]) * squares(g[k]);
    worst = std::max(worst, s);
  }
  return worst / 3;  // both dimensions: (sqrt(worst))^2 / sqrt(3 * 3)
}

// Root mean square of the error that float32 arithmetic may bring to sums of size `size`: each addition rounds a
// partial sum whose size is that of the result at most; n of them add up like a random walk. Winograd adds over
// channels alone, between transforms of a few terms.
double expected_error(const KernelRow& row, const Case& c, double size) {
  const double ulp = std::ldexp(size, -24), terms = static_cast<double>(c.sum_length);
  const bool winograd = row.name.find("winograd") != std::string_view::npos;
  if (!winograd) return ulp * std::sqrt(terms + 8);
  return ulp * std::sqrt(terms / 9 + 8) * winograd_growth(row.name.find("4x3") != std::string_view::npos ? 4 : 2);
}

std::string describe(std::string_view line, const KernelRow& row, const Group& group, const FormatChoice& formats,
                     int threads) {
  std::string s = fmt::format("{}: {} ({} nodes,", line, row.name, group.nodes.size());
  for (const Format& l : formats.inputs) s += fmt::format(" {}", to_string(l));
  return s + fmt::format(" -> {}), {} threads, seed {}", to_string(formats.outputs[0]), threads, kSeed);
}

struct Tried {
  int ran = 0;
  std::string last_refusal;
};

class RowsOfCase : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    auto parsed = rows::parse_case(GetParam(), kSeed);
    ASSERT_TRUE(parsed.ok()) << GetParam() << ": " << parsed.status().message();
    case_ = *std::move(parsed);
    std::mt19937 rng(kSeed + 1);
    for (const Value* v : case_.graph->inputs)
      values_[v] = rows::detail::random_constant(rng, *constant_shape(v->shape), 1);
    for (const auto& node : case_.graph->nodes()) {
      Status s = run_reference(*node, values_);
      ASSERT_TRUE(s.ok()) << GetParam() << ": " << s.message();
    }
  }

  void try_row(const KernelRow& row, int threads, Tried& tried) {
    for (const Group& group : row.match(*case_.graph, *case_.anchor)) {
      ASSERT_EQ(group.nodes.front(), case_.anchor);
      if (std::string reason = row.refuse ? row.refuse(group) : ""; !reason.empty()) {
        tried.last_refusal = reason;
        continue;
      }
      for (const FormatChoice& formats : formats_of(row, group)) try_formats(row, group, formats, threads, tried);
    }
  }

  void try_formats(const KernelRow& row, const Group& group, const FormatChoice& formats, int threads, Tried& tried) {
    SCOPED_TRACE(describe(GetParam(), row, group, formats, threads));
    ASSERT_EQ(formats.inputs.size(), group.inputs.size());
    ASSERT_EQ(formats.outputs.size(), group.outputs.size());
    rows::WeightsMap weights;
    const PrepareContext context = rows::describe(group, formats, threads, weights);
    auto kernel = row.prepare(context);
    if (!kernel.ok()) {
      EXPECT_EQ(kernel.status().kind(), ErrorKind::kUnsupported) << kernel.status().message();
      EXPECT_FALSE(kernel.status().message().empty());
      tried.last_refusal = kernel.status().message();
      return;
    }
    ++tried.ran;
    for (bool in_place : {false, true}) {
      if (in_place && group.residual < 0) break;
      check(row, context, **kernel, in_place);
    }
    // Packed weights are found again, not made twice.
    const size_t packed = weights.size();
    ASSERT_TRUE(row.prepare(context).ok());
    EXPECT_EQ(weights.size(), packed);
  }

  void check(const KernelRow& row, const PrepareContext& context, const PreparedKernel& kernel, bool in_place) {
    rows::Runner runner(context, kernel, in_place);
    std::vector<TensorPtr> inputs;
    for (const Value* v : context.group.inputs) inputs.push_back(v && !v->constant ? values_.at(v) : nullptr);
    Status s = runner.set_inputs(inputs);
    ASSERT_TRUE(s.ok()) << s.message();
    for (int repeat = 0; repeat < 2; ++repeat) {
      runner.poison();
      s = runner.run();
      ASSERT_TRUE(s.ok()) << s.message();
      EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
      for (size_t i = 0; i < context.group.outputs.size(); ++i) expect_near(row, context, runner, i);
      EXPECT_TRUE(runner.padding_is_zero(0));
    }
  }

  void expect_near(const KernelRow& row, const PrepareContext& context, rows::Runner& runner, size_t i) {
    auto got = runner.output(i);
    ASSERT_TRUE(got.ok()) << got.status().message();
    const Tensor& want = *values_.at(context.group.outputs[i]);
    if (want.dtype() != DType::kFloat32) {
      EXPECT_TRUE((*got)->same_as(want));
      return;
    }
    const Comparison c = compare(**got, want);
    // Activations by polynomials add an error of their own, a few units in the last place.
    const Tensor& sums = *values_.at(case_.anchor->output());
    const double bound = expected_error(row, case_, compare(sums, sums).rms) + 4e-7;
    EXPECT_EQ(c.wrong_kind, 0);
    EXPECT_LE(c.rms_error, bound) << "of " << c.rms;
    EXPECT_LE(c.largest, bound * 8);
    EXPECT_LE(c.rms_error, 1e-5 * std::max(c.rms, 0.05));
  }

  Case case_;
  Values values_;
};

TEST_P(RowsOfCase, AgreeWithTheReference) {
  std::map<std::string_view, Tried> tried;
  for (const KernelRow* row : cpu_kernels()) {
    if (row->op != case_.anchor->op->name || (row->features & cpu_features()) != row->features) continue;
    for (int threads : {1, 2}) try_row(*row, threads, tried[row->name]);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, RowsOfCase, testing::ValuesIn(rows::kCases), [](const auto& i) {
  return fmt::format("{}_{}", i.index, std::string(i.param.substr(0, i.param.find(' '))));
});

bool runs(const KernelRow& row, const Case& c) {
  for (const Group& group : row.match(*c.graph, *c.anchor)) {
    if (row.refuse && !row.refuse(group).empty()) continue;
    rows::WeightsMap weights;
    for (const FormatChoice& formats : formats_of(row, group))
      if (row.prepare(rows::describe(group, formats, 1, weights)).ok()) return true;
  }
  return false;
}

// So that a row that always refuses is no row that always agrees.
TEST(KernelTable, EveryRowTakesSomeCase) {
#ifdef FOVEA_NO_OPENMP
  GTEST_SKIP() << "oneDNN's rows refuse under the thread sanitizer";
#endif
  std::set<const KernelRow*> idle;
  for (const KernelRow* row : cpu_kernels())
    if ((row->features & cpu_features()) == row->features) idle.insert(row);
  for (std::string_view line : rows::kCases) {
    auto c = rows::parse_case(line, kSeed);
    ASSERT_TRUE(c.ok()) << line << ": " << c.status().message();
    std::erase_if(idle, [&](const KernelRow* row) { return row->op == c->anchor->op->name && runs(*row, *c); });
  }
  for (const KernelRow* row : idle) ADD_FAILURE() << row->name << " takes no case of row_cases.inc";
}

// Runs `kernel` on `inputs` and gives output 0, plain.
Result<TensorPtr> run_once(const PrepareContext& context, const PreparedKernel& kernel,
                           const std::vector<TensorPtr>& inputs) {
  rows::Runner runner(context, kernel, true);
  FOVEA_TRY(runner.set_inputs(inputs));
  FOVEA_TRY(runner.run());
  return runner.output(0);
}

// What is not a number stays none, and reaches no element that does not depend on it; but for Winograd's, whose tiles
// share it.
TEST(Rows, NaNAndInfinityGoWhereTheyMust) {
  const std::string_view lines[] = {"Conv 1x32x12x12 c:48x32x3x3 c:48 | pads=1,1,1,1 |",
                                    "Conv 2x16x9x9 c:16x16x1x1 - | |",
                                    "Conv 1x3x20x20 c:16x3x3x3 - | strides=2,2 |",
                                    "Conv 1x32x9x9 c:32x1x3x3 - | group=32 |",
                                    "Gemm 7x33 c:33x20 c:20 | |",
                                    "MatMul 2x5x6 2x6x7 | |",
                                    "ConvTranspose 1x16x5x5 c:16x16x2x2 - | strides=2,2 |",
                                    "AveragePool 1x16x9x9 | kernel_shape=3,3 |",
                                    "Max 5x41 5x41 | |",
                                    "Exp 5x41 | |",
                                    "Sigmoid 5x41 | |",
                                    "Tanh 5x41 | |",
                                    "HardSwish 5x41 | |",
                                    "Clip 5x41 | | Relu"};
  for (std::string_view line : lines)
    for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                      -std::numeric_limits<float>::infinity()}) {
      auto c = rows::parse_case(line, kSeed);
      ASSERT_TRUE(c.ok()) << c.status().message();
      std::mt19937 rng(kSeed);
      Values values;
      std::vector<TensorPtr> inputs;
      for (const Value* v : c->graph->inputs)
        values[v] = rows::detail::random_constant(rng, *constant_shape(v->shape), 1);
      auto* x = reinterpret_cast<float*>(const_cast<std::byte*>(values.at(c->graph->inputs[0])->bytes().data()));
      x[values.at(c->graph->inputs[0])->count() / 2] = bad;
      ASSERT_TRUE(run_reference(*c->anchor, values).ok());
      for (const KernelRow* row : cpu_kernels()) {
        if (row->op != c->anchor->op->name || (row->features & cpu_features()) != row->features) continue;
        const Group group = row->match(*c->graph, *c->anchor).back();
        if (row->refuse && !row->refuse(group).empty()) continue;
        inputs.clear();
        for (const Value* v : group.inputs) inputs.push_back(v && !v->constant ? values.at(v) : nullptr);
        for (const FormatChoice& formats : formats_of(*row, group)) {
          SCOPED_TRACE(fmt::format("{} with {}", describe(line, *row, group, formats, 2), bad));
          rows::WeightsMap weights;
          const PrepareContext context = rows::describe(group, formats, 2, weights);
          auto kernel = row->prepare(context);
          if (!kernel.ok()) continue;
          auto got = run_once(context, **kernel, inputs);
          ASSERT_TRUE(got.ok()) << got.status().message();
          const auto a = (*got)->as<float>(), b = values.at(group.outputs[0])->as<float>();
          int64_t lost = 0, spread = 0;
          for (size_t i = 0; i < a.size(); ++i) {
            lost += !std::isfinite(b[i]) && std::isfinite(a[i]);
            spread += std::isfinite(b[i]) && !std::isfinite(a[i]);
          }
          EXPECT_EQ(lost, 0);
          if (row->name.find("winograd") == std::string_view::npos) {
            EXPECT_EQ(spread, 0);
          }
        }
      }
    }
}

// A prepared kernel is shared by contexts in several threads.
TEST(Rows, OneKernelInSeveralThreads) {
  auto c = rows::parse_case("Conv 2x32x14x14 c:48x32x3x3 c:48 | pads=1,1,1,1 | Add Relu", kSeed);
  ASSERT_TRUE(c.ok()) << c.status().message();
  for (const KernelRow* row : cpu_kernels()) {
    if (row->op != "Conv" || (row->features & cpu_features()) != row->features) continue;
    const Group group = row->match(*c->graph, *c->anchor).front();
    if (!row->refuse(group).empty()) continue;
    rows::WeightsMap weights;
    const PrepareContext context = rows::describe(group, formats_of(*row, group)[0], 2, weights);
    auto kernel = row->prepare(context);
    if (!kernel.ok()) continue;
    std::mt19937 rng(kSeed);
    std::vector<TensorPtr> inputs;
    for (const Value* v : group.inputs)
      inputs.push_back(v && !v->constant ? rows::detail::random_constant(rng, *constant_shape(v->shape), 1) : nullptr);
    auto first = run_once(context, **kernel, inputs);
    ASSERT_TRUE(first.ok()) << first.status().message();
    std::atomic<int> different = 0;
    std::vector<std::thread> team;
    for (int t = 0; t < 4; ++t)
      team.emplace_back([&] {
        for (int i = 0; i < 5; ++i) {
          auto again = run_once(context, **kernel, inputs);
          if (!again.ok() || !(*again)->same_as(**first)) ++different;
        }
      });
    for (std::thread& t : team) t.join();
    EXPECT_EQ(different, 0) << row->name;
  }
}

TEST(KernelTable, NamesAreUniqueAndRowsComplete) {
  std::map<std::string_view, int> names;
  for (const KernelRow* row : cpu_kernels()) {
    EXPECT_EQ(++names[row->name], 1) << row->name;
    EXPECT_EQ(find_kernel(row->name), row);
    EXPECT_TRUE(row->match && row->prepare) << row->name;
    EXPECT_TRUE(find_op(row->op)) << row->name << " is for " << row->op;
    EXPECT_GE(row->revision, 1);
  }
  EXPECT_EQ(find_kernel("no such kernel"), nullptr);
}

}  // namespace
}  // namespace fovea::core
