// Every row of the table against the reference kernels, on the cases of the CPU's rows and more of its own: every
// format that a row offers, in float32 and where it may store float16. Without a GPU it skips, saying why.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "kernels/cuda/cuda_runner.h"
#include "kernels/cuda/row_cases.h"

namespace fovea::core {
namespace {

using rows::Case;
using rows::compare;
using rows::Comparison;
using rows::run_reference;
using rows::Values;

constexpr uint32_t kSeed = 20260;

bool uses_half(const FormatChoice& f) {
  auto is_half = [](const Format& x) { return x.storage == DType::kFloat16; };
  return std::ranges::any_of(f.inputs, is_half) || std::ranges::any_of(f.outputs, is_half);
}

class CudaRows : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    if (!gpu().device) GTEST_SKIP() << gpu().why;
    auto parsed = rows::parse_case(GetParam(), kSeed);
    ASSERT_TRUE(parsed.ok()) << GetParam() << ": " << parsed.status().message();
    case_ = *std::move(parsed);
    std::mt19937 rng(kSeed + 1);
    for (const Value* v : case_.graph->inputs) values_[v] = rows::detail::random_input(rng, *v, case_.few);
    change_inputs();
    for (const auto& node : case_.graph->nodes()) {
      Status s = run_reference(*node, values_);
      ASSERT_TRUE(s.ok()) << GetParam() << ": " << s.message();
    }
  }

  virtual void change_inputs() {}
  virtual bool wants(const KernelRow& row) const { return row.op == case_.anchor->op->name; }

  void try_rows() {
    for (const KernelRow* row : gpu().device->kernels()) {
      if (!wants(*row)) continue;
      for (const Group& group : row->match(*case_.graph, *case_.anchor)) {
        if (row->refuse && !row->refuse(group).empty()) continue;
        for (const FormatChoice& formats : formats_of(*row, group)) try_formats(*row, group, formats);
      }
    }
  }

  void try_formats(const KernelRow& row, const Group& group, const FormatChoice& formats) {
    std::string what = fmt::format("{}: {} ({} nodes,", GetParam(), row.name, group.nodes.size());
    for (const Format& f : formats.inputs) what += " " + to_string(f);
    SCOPED_TRACE(fmt::format("{} -> {})", what, to_string(formats.outputs[0])));
    ASSERT_EQ(formats.inputs.size(), group.inputs.size());
    ASSERT_EQ(formats.outputs.size(), group.outputs.size());
    rows::WeightsMap weights;
    PrepareContext context = rows::describe(group, formats, 1, weights);
    context.device = gpu().device.get();
    context.tune = tune_;
    auto kernel = row.prepare(context);
    if (!kernel.ok()) {
      EXPECT_EQ(kernel.status().kind(), ErrorKind::kUnsupported) << kernel.status().message();
      if (row.name == "cutlass_two_convs" && properties().sm90a)
        EXPECT_TRUE(kernel.status().message().starts_with("sums of")) << kernel.status().message();
      RecordProperty("refused", kernel.status().message());
      return;
    }
    ++ran_;
    const size_t packed = weights.size();
    ASSERT_TRUE(row.prepare(context).ok());
    EXPECT_EQ(weights.size(), packed) << "packed weights are made twice";
    CudaRunner runner(*gpu().device, context, **kernel);
    std::vector<TensorPtr> inputs;
    for (const Value* v : group.inputs) inputs.push_back(v && !v->constant ? values_.at(v) : nullptr);
    Status s = runner.set_up(inputs, formats);
    ASSERT_TRUE(s.ok()) << s.message();
    std::vector<std::vector<std::byte>> first;
    for (bool captured : {false, true}) {
      s = runner.run(captured);
      ASSERT_TRUE(s.ok()) << s.message();
      EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
      for (size_t i = 0; i < group.outputs.size(); ++i) {
        if (!group.outputs[i]) continue;
        if (!captured) {
          expect_near(group, formats, runner, i);
          EXPECT_TRUE(runner.padding_is_zero(i));
          first.push_back(true_bytes(group, runner, i));
        } else {
          EXPECT_EQ(true_bytes(group, runner, i), first[i]) << "another result in the second run";
        }
      }
    }
    find_again(row, context, **kernel, runner, first);
    if (const int64_t lead = (*kernel)->overlap_lead(); lead >= 0) {
      overlapping(group, formats, runner, lead);
      overlapped_.insert(std::string(row.name));
    }
  }

  // The output reaches into the memory of the input, as far as the kernel says that it may.
  void overlapping(const Group& group, const FormatChoice& formats, CudaRunner& runner, int64_t lead) {
    Status s = runner.overlap(lead);
    ASSERT_TRUE(s.ok()) << s.message();
    for (bool captured : {false, true}) {
      s = runner.run(captured);
      ASSERT_TRUE(s.ok()) << s.message();
      EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
      expect_near(group, formats, runner, 0);
      EXPECT_TRUE(runner.padding_is_zero(0));
    }
  }
  static const cuda::Properties& properties() {
    return static_cast<const cuda::CudaDevice&>(*gpu().device).properties();
  }

  // A library's way, by the name that a recipe keeps: built anew or read from the user's cache it is the same one.
  void find_again(const KernelRow& row, PrepareContext context, const PreparedKernel& kernel, CudaRunner& runner,
                  const std::vector<std::vector<std::byte>>& first) {
    const std::string variant = kernel.detail();
    if (variant.empty()) return;
    context.variant = variant, context.tune = false;
    for (int time = 0; time < 2; ++time) {
      auto again = row.prepare(context);
      ASSERT_TRUE(again.ok()) << again.status().message();
      ASSERT_EQ((*again)->detail(), variant);
      ASSERT_EQ((*again)->workspace_bytes(), kernel.workspace_bytes());
      runner.use(**again);
      const Status s = runner.run(false);
      ASSERT_TRUE(s.ok()) << s.message();
      EXPECT_TRUE(runner.intact()) << "wrote outside its memory";
      EXPECT_EQ(true_bytes(context.group, runner, 0), first[0]) << "another result of " << variant;
      runner.use(kernel);
    }
  }

  // The sizes that data decide are where the reference has them.
  std::vector<int64_t> true_shape(const Group& group, CudaRunner& runner, size_t i) {
    const Value* v = group.outputs[i];
    std::vector<int64_t> shape(values_.at(v)->dims().begin(), values_.at(v)->dims().end());
    size_t at = 0;
    for (const Node* n : group.nodes)
      for (const SizeDefinition& d : n->sizes) {
        const int64_t size = runner.sizes(at + 1)[at];
        ++at;
        if (n->outputs[static_cast<size_t>(d.output)] == v) {
          EXPECT_EQ(size, shape[static_cast<size_t>(d.dim)]) << "size " << d.symbol->name;
        }
      }
    return shape;
  }
  // What readers may look at: all of it where no size depends on data.
  std::vector<std::byte> true_bytes(const Group& group, CudaRunner& runner, size_t i) {
    std::vector<std::byte> bytes = runner.raw(i);
    const Value* v = group.outputs[i];
    if (!constant_shape(v->shape)) bytes.resize(std::min(bytes.size(), values_.at(v)->bytes().size()));
    return bytes;
  }

  void expect_near(const Group& group, const FormatChoice& formats, CudaRunner& runner, size_t i) {
    const Tensor& want = *values_.at(group.outputs[i]);
    auto got = runner.output(i, want.dtype(), true_shape(group, runner, i));
    ASSERT_TRUE(got.ok()) << got.status().message();
    if (want.dtype() != DType::kFloat32) {
      EXPECT_TRUE((*got)->same_as(want));
      return;
    }
    // TF32 rounds factors to as many bits as float16 has.
    const bool rough = uses_half(formats) || group.outputs[i]->storage.tf32;
    // An exponential makes the error of its argument, whose size here is at most about 8, a part of the result; so
    // does a division by a small number.
    const double own = std::ldexp(rough ? 16 : 8, rough ? -12 : -24);
    const Comparison c = compare(**got, want, own);
    EXPECT_EQ(c.wrong_kind, 0);
    const Tensor& sums = *values_.at(case_.anchor->output());
    const double size = sums.dtype() == DType::kFloat32 ? std::max(compare(sums, sums).rms, c.rms) : c.rms;
    // float32: additions round partial sums no larger than the result, like a random walk. float16: every factor and
    // the result round once, by 2^-12 of its size at random, which a sum of independent terms keeps.
    double bound = std::ldexp(size, -24) * std::sqrt(static_cast<double>(case_.sum_length) + 8) + 4e-7;
    if (rough) bound += 3 * std::ldexp(size, -12) * std::sqrt(3.0);
    // A library's tanh is an approximation of its own: what holds for it is the house's bound for any operator.
    if (group.nodes.back()->is("Tanh")) bound = std::max(bound, 1e-5 * c.rms);
    EXPECT_LE(c.rms_error, bound) << "of " << c.rms;
    EXPECT_LE(c.largest, bound * (rough ? 12 : 8)) << "of " << c.rms;
  }

  Case case_;
  Values values_;
  bool tune_ = false;
  int ran_ = 0;  // kernels
  std::set<std::string> overlapped_;
};

TEST_P(CudaRows, AgreeWithTheReference) { try_rows(); }

TEST_P(CudaRows, AgreeWithTheReferenceInHalfPrecision) {
  rows::allow_half(*case_.graph);
  try_rows();
}

// What TF32 changes is convolutions.
TEST_P(CudaRows, AgreeWithTheReferenceInTf32) {
  if (!case_.anchor->is("Conv")) return;
  rows::allow_tf32(*case_.graph);
  try_rows();
}

// Where a library has several ways and the fastest is taken.
class TunedCudaRows : public CudaRows {};

TEST_P(TunedCudaRows, AgreeWithTheReference) {
  tune_ = true;
  try_rows();
  rows::allow_half(*case_.graph);
  try_rows();
}

// What is infinite or NaN makes only those windows so that have it as a tap: matrix units read more.
class InfinitePixels : public CudaRows {
  bool wants(const KernelRow& row) const override { return row.name == "few_channels_conv_cuda"; }
  void change_inputs() override {
    const Value* x = case_.graph->inputs[0];
    auto changed = Tensor::allocate(DType::kFloat32, values_[x]->dims());
    ASSERT_TRUE(changed.ok());
    auto* p = reinterpret_cast<float*>((*changed)->mutable_data());
    std::ranges::copy(values_[x]->as<float>(), p);
    const int64_t count = (*changed)->count();
    const float inf = std::numeric_limits<float>::infinity();
    p[0] = inf, p[count / 3] = -inf, p[count / 2 + 7] = std::numeric_limits<float>::quiet_NaN(), p[count - 1] = inf;
    values_[x] = *changed;
  }
};

TEST_P(InfinitePixels, ReachTheirWindowsAlone) {
  if (properties().major < 8) GTEST_SKIP() << "the row refuses compute capability " << properties().major;
  rows::allow_half(*case_.graph);
  try_rows();
  EXPECT_GT(std::exchange(ran_, 0), 0);
  rows::allow_tf32(*case_.graph);
  try_rows();
  EXPECT_GT(ran_, 0);
}

// What is large enough to be done in two parts (conv/overlap.h) may lie where its input was.
class OverlappingRows : public CudaRows {};

TEST_P(OverlappingRows, AgreeWithTheReference) {
  try_rows();
  rows::allow_half(*case_.graph);
  try_rows();
  EXPECT_TRUE(overlapped_.contains("cublaslt_conv"));
  const bool two = GetParam().find("AddConv") != std::string_view::npos;
  EXPECT_EQ(overlapped_.contains("cutlass_two_convs"), two && properties().sm90a);
}

constexpr std::string_view kOverlappingCases[] = {
    "Conv 3x40x301x307 c:200x40x1x1 c:200 | | Relu",
    "Conv 1x100x433x435 c:84x100x1x1 - | |",
    "Conv 3x33x299x301 c:99x33x1x1 c:99 | | AddConv:20 Relu",
};
INSTANTIATE_TEST_SUITE_P(Cases, OverlappingRows, testing::ValuesIn(kOverlappingCases));

constexpr std::string_view kInfiniteCases[] = {
    "Conv 2x3x83x91 c:64x3x7x7 c:64 | strides=2,2 pads=3,3,3,3 |",
    "Conv 1x4x45x70 c:128x4x5x5 c:128 | strides=2,2 pads=2,2,2,2 |",
    "Conv 1x3x40x40 c:64x3x3x3 c:64 | pads=1,1,1,1 |",
    "Conv 1x3x60x50 c:64x3x7x7 c:64 | strides=2,2 pads=3,3,3,3 | MaxPool(kernel_shape=3,3;strides=2,2;pads=1,1,1,1)",
};
INSTANTIATE_TEST_SUITE_P(Cases, InfinitePixels, testing::ValuesIn(kInfiniteCases));

constexpr std::string_view kTunedCases[] = {
    "Conv 1x64x38x38 c:256x64x1x1 c:256 | | Add Relu",      "Conv 2x20x9x7 c:3x20x1x1 - | |",
    "Conv 1x2048x3x3 c:64x2048x1x1 c:64 | | Relu",          "Conv 2x64x19x19 c:96x64x3x3 c:96 | pads=1,1,1,1 | Relu",
    "Conv 2x64x19x19 c:96x64x1x1 c:96 | | AddConv:40 Relu",
};
INSTANTIATE_TEST_SUITE_P(Cases, TunedCudaRows, testing::ValuesIn(kTunedCases));

INSTANTIATE_TEST_SUITE_P(Cases, CudaRows, testing::ValuesIn(rows::kCudaCases), [](const auto& i) {
  return fmt::format("{}_{}", i.index, std::string(i.param.substr(0, i.param.find(' '))));
});

}  // namespace
}  // namespace fovea::core
