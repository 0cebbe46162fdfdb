// Reductions and softmaxes at random with what is in front of them and behind them, on every type and in every format,
// against the reference node by node.
#include <gtest/gtest.h>

#include <set>

#include "kernels/cuda/cuda_runner.h"
#include "kernels/cuda/eltwise/chain_build.h"
#include "kernels/cuda/reduce/fold_launch.h"
#include "kernels/cuda/reduce/fold_plan.h"
#include "kernels/cuda/reduce/fold_source.h"
#include "kernels/cuda/reduce/fold_testing.h"

namespace fovea::core {
namespace {

using test::FoldCase;

constexpr uint32_t kCompiled = 12;  // seeds whose sources are compiled without a device

class FoldCuda : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    Status s = case_.make();
    ASSERT_TRUE(s.ok()) << s.message();
  }

  // Calls f(row, group, formats) for the largest group with the fold, and for the smallest.
  template <typename F>
  void each_form(const F& f) {
    bool any = false;
    for (const KernelRow* row : cuda_kernels()) {
      if (row->op != case_.anchor().op->name || !row->name.starts_with("nvrtc_")) continue;
      std::vector<Group> groups = row->match(case_.graph(), case_.anchor());
      std::erase_if(groups, [](const Group& g) { return !cuda::fold::fold_of(g); });
      if (groups.size() > 2) groups.erase(groups.begin() + 1, groups.end() - 1);
      for (const Group& group : groups) {
        any = true;
        ASSERT_EQ(row->refuse(group), "");
        for (const FormatChoice& formats : formats_of(*row, group)) {
          f(*row, group, formats);
          if (HasFatalFailure() || IsSkipped()) return;
        }
      }
    }
    EXPECT_TRUE(any) << "no row takes it";
  }

  void run(const KernelRow& row, const Group& group, const FormatChoice& formats) {
    rows::WeightsMap weights;
    PrepareContext context = rows::describe(group, formats, 1, weights);
    context.device = gpu().device.get();
    auto kernel = row.prepare(context);
    if (!kernel.ok()) {
      ASSERT_EQ(kernel.status().kind(), ErrorKind::kUnsupported) << kernel.status().message();
      return;
    }
    CudaRunner runner(*gpu().device, context, **kernel);
    std::vector<TensorPtr> inputs;
    for (const Value* v : group.inputs) inputs.push_back(v && !v->constant ? case_.values().at(v) : nullptr);
    Status s = runner.set_up(inputs, formats);
    ASSERT_TRUE(s.ok()) << s.message();
    const Tensor& want = *case_.values().at(group.outputs[0]);
    for (const bool captured : {false, true}) {
      s = runner.run(captured);
      ASSERT_TRUE(s.ok()) << s.message();
      EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
      EXPECT_TRUE(runner.padding_is_zero(0));
      auto got = runner.output(0, want.dtype(), want.dims());
      ASSERT_TRUE(got.ok()) << got.status().message();
      EXPECT_TRUE(case_.agrees(**got, want, formats.outputs[0].storage == DType::kFloat16));
    }
  }

  FoldCase case_{GetParam()};
};

TEST_P(FoldCuda, ComputesWhatTheReferenceComputes) {
  if (!gpu().device) GTEST_SKIP() << gpu().why;
  each_form([&](const KernelRow& row, const Group& group, const FormatChoice& formats) {
    SCOPED_TRACE(fmt::format("{}: {} of {} nodes, {} -> {}", case_.fold_node().op->name, row.name, group.nodes.size(),
                             to_string(formats.inputs[0]), to_string(formats.outputs[0])));
    run(row, group, formats);
  });
}

// What needs no device: the source is made, and compiles where NVRTC is.
TEST_P(FoldCuda, SourceCompiles) {
  each_form([&](const KernelRow&, const Group& group, const FormatChoice& formats) {
    rows::WeightsMap weights;
    const PrepareContext context = rows::describe(group, formats, 1, weights);
    auto built = cuda::chain::build(context);
    ASSERT_TRUE(built.ok()) << built.status().message();
    EXPECT_EQ(built->chain.steps.size(), group.nodes.size());
    const std::string source = cuda::fold::source(built->chain, *cuda::fold::rule_of(case_.fold_node()));
    auto kernel = cuda::fold::make_kernel(context, *built);
    if (!kernel.ok()) ASSERT_EQ(kernel.status().kind(), ErrorKind::kUnsupported) << kernel.status().message();
    static std::set<std::string> compiled;  // formats that differ in layout have the same source
    // On a device, all of them are compiled.
    if (GetParam() >= kCompiled || gpu().device || !compiled.insert(source).second) return;
    auto cubin = cuda::compile_source(source, "sm_90");
    if (cubin.ok()) return;
    ASSERT_NE(cubin.status().kind(), ErrorKind::kInternal) << cubin.status().message();
    GTEST_SKIP() << cubin.status().message();
  });
}

INSTANTIATE_TEST_SUITE_P(Seeds, FoldCuda, testing::Range(0u, 100u));

// Every element belongs to one slice, every line to one block; the last ones may be shorter.
TEST(FoldPlan, CoversAllElements) {
  using namespace cuda::fold;
  for (const int64_t lines : {1, 2, 7, 32, 33, 1000, 100000})
    for (const int64_t length : {0, 1, 3, 49, 81, 1000, 4096, 70001, 1 << 24})
      for (const bool columns : {false, true})
        for (const int64_t lanes : {1, 4, 8}) {
          SCOPED_TRACE(fmt::format("{} x {} {} {}", lines, length, columns, lanes));
          const Division d = divide_reduction(lines, length, columns, lanes);
          const int64_t parts = int64_t{1} << d.log_parts, along = columns ? 1 : lanes;
          ASSERT_GE(parts, 1);
          ASSERT_LE(parts, kBlock);
          EXPECT_GE(d.blocks * (kBlock / parts) * (columns ? lanes : 1), lines);
          EXPECT_GE(d.slices * d.slice, length);
          EXPECT_LT((d.slices - 1) * d.slice, std::max<int64_t>(length, 1));
          EXPECT_LE(d.slices, 65535);
          if (d.slices > 1) EXPECT_EQ(d.slice % along, 0);
          // No thread adds up more than a few thousand numbers one by one.
          EXPECT_LE(d.slice, parts * along * 2048 + parts * along);
          const Division last = divide_slices(lines, d.slices);
          EXPECT_GE(last.blocks * (kBlock >> last.log_parts), lines);
          const Division s = divide_softmax(lines, length, columns, lanes);
          if (is_held(s, length, columns, lanes)) EXPECT_LE(length, (int64_t{kHeld} * along) << s.log_parts);
        }
}

}  // namespace
}  // namespace fovea::core
