// Chains of element-wise operators at random, on floats, integers and booleans with casts between them: what the device
// computes is what the reference computes node by node, bit for bit; only a NaN's bits are the processor's own.
#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "kernels/cuda/cuda_runner.h"
#include "kernels/cuda/eltwise/chain_build.h"
#include "kernels/cuda/eltwise/chain_testing.h"

namespace fovea::core {
namespace {

using test::ChainCase;

constexpr uint32_t kCompiled = 12;  // seeds whose sources are compiled without a device

bool is_tensor(const Value* v) { return v && !(v->is_constant() && v->constant->count() == 1); }

// Calls f(row, group, formats) for the largest group of the case's row, and for the one before it.
template <typename F>
void each_form(const ChainCase& c, const F& f) {
  const auto& rows = cuda_kernels();
  const auto row = std::ranges::find(rows, c.anchor().op->name, &KernelRow::op);
  ASSERT_NE(row, rows.end()) << c.anchor().op->name;
  const std::vector<Group> groups = (*row)->match(c.graph(), c.anchor());
  ASSERT_FALSE(groups.empty());
  std::set<const Value*> tensors;
  for (const auto& n : c.graph().nodes())
    for (const Value* v : n->inputs)
      if (is_tensor(v) && !v->producer) tensors.insert(v);
  if (tensors.size() <= static_cast<size_t>(cuda::chain::kMostOperands)) {
    EXPECT_EQ(groups[0].nodes.size(), c.graph().nodes().size()) << "the chain is cut";
  }
  for (size_t g = 0; g < std::min<size_t>(2, groups.size()); ++g) {
    ASSERT_EQ((*row)->refuse(groups[g]), "");
    for (const FormatChoice& formats : formats_of(**row, groups[g])) {
      f(**row, groups[g], formats);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// As it is stored: a float16 is the nearest to what was computed.
template <typename T>
bool same(T got, T want, bool half) {
  if constexpr (std::is_same_v<T, float>) {
    if (half) want = static_cast<float>(Half(want));
    return std::bit_cast<uint32_t>(got) == std::bit_cast<uint32_t>(want) || (std::isnan(got) && std::isnan(want));
  } else {
    return got == want;
  }
}
void expect_same(const Tensor& got, const Tensor& want, bool half) {
  ASSERT_EQ(got.dims(), want.dims());
  dispatch_dtype(want.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_arithmetic_v<T>) {
      const auto* a = reinterpret_cast<const T*>(got.bytes().data());
      const auto* b = reinterpret_cast<const T*>(want.bytes().data());
      for (int64_t i = 0; i < want.count(); ++i)
        ASSERT_TRUE(same(a[i], b[i], half)) << "element " << i << ": " << a[i] << ", not " << b[i];
    }
  });
}

class ChainCuda : public testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    Status s = case_.make();
    ASSERT_TRUE(s.ok()) << s.message();
  }
  ChainCase case_{GetParam()};
};

void run(const ChainCase& c, const KernelRow& row, const Group& group, const FormatChoice& formats) {
  rows::WeightsMap weights;
  PrepareContext context = rows::describe(group, formats, 1, weights);
  context.device = gpu().device.get();
  auto kernel = row.prepare(context);
  ASSERT_TRUE(kernel.ok()) << kernel.status().message();
  CudaRunner runner(*gpu().device, context, **kernel);
  std::vector<TensorPtr> inputs;
  for (const Value* v : group.inputs) inputs.push_back(v && !v->constant ? c.values().at(v) : nullptr);
  Status s = runner.set_up(inputs, formats);
  ASSERT_TRUE(s.ok()) << s.message();
  s = runner.run(false);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
  EXPECT_TRUE(runner.padding_is_zero(0));
  const Tensor& want = *c.values().at(group.outputs[0]);
  auto got = runner.output(0, want.dtype(), want.dims());
  ASSERT_TRUE(got.ok()) << got.status().message();
  expect_same(**got, want, formats.outputs[0].storage == DType::kFloat16);
}

TEST_P(ChainCuda, ComputesWhatTheReferenceComputes) {
  if (!gpu().device) GTEST_SKIP() << gpu().why;
  each_form(case_, [&](const KernelRow& row, const Group& group, const FormatChoice& formats) {
    SCOPED_TRACE(fmt::format("{} nodes -> {}", group.nodes.size(), to_string(formats.outputs[0])));
    run(case_, row, group, formats);
  });
}

// What needs no device: the source is made, and compiles where NVRTC is.
TEST_P(ChainCuda, SourceCompiles) {
  each_form(case_, [&](const KernelRow&, const Group& group, const FormatChoice& formats) {
    rows::WeightsMap weights;
    const PrepareContext context = rows::describe(group, formats, 1, weights);
    auto built = cuda::chain::build(context);
    ASSERT_TRUE(built.ok()) << built.status().message();
    EXPECT_EQ(built->chain.steps.size(), group.nodes.size());
    if (GetParam() >= kCompiled || gpu().device) return;  // on a device, all of them are
    auto cubin = cuda::compile_source(built->chain.source(), "sm_90");
    if (cubin.ok()) return;
    ASSERT_NE(cubin.status().kind(), ErrorKind::kInternal) << cubin.status().message();
    GTEST_SKIP() << cubin.status().message();
  });
}

INSTANTIATE_TEST_SUITE_P(Seeds, ChainCuda, testing::Range(0u, 120u));

}  // namespace
}  // namespace fovea::core
