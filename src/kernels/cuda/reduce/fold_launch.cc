#include "kernels/cuda/reduce/fold_launch.h"

#include <algorithm>

#include "kernels/cuda/eltwise/chain_loops.h"
#include "kernels/cuda/reduce/fold_plan.h"
#include "kernels/cuda/reduce/fold_source.h"

namespace fovea::core::cuda::fold {
namespace {

using chain::kMostIndices;
using chain::kMostOperands;
using chain::Loops;
using chain::Steps;
using Strides = std::array<int64_t, kMaxRank>;

constexpr size_t kOutput = kMostOperands;   // the output's place behind the operands
constexpr int64_t kLongestSoftmax = 65536;  // a block has a line: more would take long, and lose digits of its sum

// As they lie in memory, of a tensor in NHWC8.
Strides packed_strides(std::span<const int64_t> shape) {
  const int64_t column = (shape[1] + 7) / 8 * 8, row = column * shape[3];
  return {row * shape[2], 1, row, column};
}

struct Plan {
  bool softmax = false;
  Dims shape;                 // of what is folded
  std::vector<bool> reduced;  // of its dimensions
  int64_t lines = 1, length = 1;
  std::vector<bool> packed;  // of each operand: NHWC8; the output's last
};

class FoldKernel final : public PreparedKernel {
 public:
  FoldKernel(Plan plan, chain::Prepared prepared) : plan_(std::move(plan)), p_(std::move(prepared)) {}

  std::string detail() const override { return fmt::format("{} in a row", p_.chain.steps.size()); }

  int64_t workspace_bytes() const override {
    int64_t most = 0;
    if (plan_.softmax) return 0;
    for (const bool columns : {false, true})
      for (const int lanes : {1, p_.chain.vector})
        if (const Division d = divide_reduction(plan_.lines, plan_.length, columns, lanes); d.slices > 1)
          most = std::max(most, d.slices * plan_.lines * kPartBytes);
    return most;
  }

  Status run(KernelContext& c) const override {
    if (c.out().count() == 0) return {};
    FoldArguments f{};
    Loops kept, along;
    FOVEA_TRY(set_loops(c, kept, along, f));
    const int64_t lanes = f.chain.whole ? p_.chain.vector : 1;
    const Division d = plan_.softmax ? divide_softmax(plan_.lines, plan_.length, f.columns, lanes)
                                     : divide_reduction(plan_.lines, plan_.length, f.columns, lanes);
    f.lines = static_cast<unsigned>(plan_.lines), f.length = static_cast<unsigned>(plan_.length);
    f.slice = static_cast<unsigned>(d.slice), f.slices = static_cast<unsigned>(d.slices);
    f.log_parts = d.log_parts, f.parts = c.workspace;
    f.held = plan_.softmax && is_held(d, plan_.length, f.columns, lanes);
    std::ranges::copy(p_.numbers, f.chain.numbers);
    const TensorRef& y = c.out();
    if (plan_.packed.back() && y.dims[1] % 8 != 0)  // the lanes that no channel fills
      FOVEA_CUDA(cudaMemsetAsync(
          y.data, 0, static_cast<size_t>(storage_elements(Layout::kNhwc8, y.shape()) * chain::bytes_of(p_.chain.out)),
          handle_of(c)));
    FOVEA_TRY(launch(f, d.blocks, d.slices, c));
    if (d.slices == 1) return {};
    const Division last = divide_slices(plan_.lines, d.slices);
    f.last = 1, f.log_parts = last.log_parts;
    return launch(f, last.blocks, 1, c);
  }

 private:
  Status launch(FoldArguments& f, int64_t blocks, int64_t slices, const KernelContext& c) const {
    void* pointers[] = {&f};
    return check(cudaLaunchKernel(reinterpret_cast<const void*>(p_.kernel),
                                  dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(slices)), dim3(kBlock),
                                  pointers, 0, handle_of(c)),
                 "fold");
  }

  // How far operands and output move along each dimension of what is folded.
  Status strides(const KernelContext& c, std::array<Strides, kMostOperands + 1>& moves) const {
    const size_t n = p_.inputs.size(), rank = plan_.shape.size();
    const TensorRef& y = c.out();
    // Of the result along those dimensions: it has the reduced ones with one element, or has not.
    const auto spread = [&](const Strides& s) {
      if (plan_.softmax) return s;
      const bool all = static_cast<size_t>(y.rank) == rank;
      Strides result{};
      for (size_t d = 0, at = 0; d < rank; ++d) {
        if (!plan_.reduced[d]) result[d] = s[at];
        at += all || !plan_.reduced[d] ? 1 : 0;
      }
      return result;
    };
    for (size_t i = 0; i < n; ++i) {
      const TensorRef& x = c.in(p_.inputs[i]);
      const bool front = i < p_.chain.front->operands;
      FOVEA_TRY_SET(moves[i],
                    chain::broadcast(x.shape(), plan_.packed[i] ? packed_strides(x.shape()) : x.strides,
                                     front ? std::span<const int64_t>(plan_.shape) : y.shape(), p_.inputs[i]));
      if (!front) moves[i] = spread(moves[i]);
    }
    moves[kOutput] = spread(plan_.packed.back() ? packed_strides(y.shape()) : y.strides);
    return {};
  }

  // The largest operand in front, by the elements that it has; the loops follow its memory.
  size_t main_operand(const std::array<Strides, kMostOperands + 1>& moves) const {
    size_t best = 0;
    int64_t most = -1;
    for (size_t i = 0; i < p_.chain.front->operands; ++i) {
      int64_t count = 1;
      for (size_t d = 0; d < plan_.shape.size(); ++d) count *= moves[i][d] == 0 ? 1 : plan_.shape[d];
      if (count > most) most = count, best = i;
    }
    return best;
  }

  Status set_loops(const KernelContext& c, Loops& kept, Loops& along, FoldArguments& f) const {
    std::array<Strides, kMostOperands + 1> moves{};
    FOVEA_TRY(strides(c, moves));
    const size_t rank = plan_.shape.size(), main = main_operand(moves);
    std::array<size_t, kMaxRank> order{};
    for (size_t d = 0; d < rank; ++d) order[d] = d;
    const auto reach = [](int64_t stride) { return stride == 0 ? INT64_MAX : stride; };
    // The outermost first; few, and stable without allocating.
    for (size_t i = 1; i < rank; ++i)
      for (size_t j = i; j > 0 && reach(moves[main][order[j - 1]]) < reach(moves[main][order[j]]); --j)
        std::swap(order[j - 1], order[j]);
    for (size_t i = 0; i < rank && plan_.length > 0; ++i) {
      Steps steps{};
      for (size_t k = 0; k <= kOutput; ++k) steps[k] = moves[k][order[i]];
      (plan_.reduced[order[i]] ? along : kept).add(plan_.shape[order[i]], steps);
    }
    if (plan_.length == 0) {  // what nothing comes to, for each line
      for (size_t d = 0; d < rank; ++d) {
        Steps steps{};
        steps[kOutput] = moves[kOutput][d];
        for (size_t k = p_.chain.front->operands; k < p_.inputs.size(); ++k) steps[k] = moves[k][d];
        if (!plan_.reduced[d]) kept.add(plan_.shape[d], steps);
      }
    }
    const auto inner = [&](const Loops& l) { return l.rank == 0 ? INT64_MAX : reach(l.strides[main][l.rank - 1]); };
    f.columns = kept.rank > 0 && (along.rank == 0 || inner(kept) < inner(along));
    fill(c, kept, along, f);
    return {};
  }

  void fill(const KernelContext& c, const Loops& kept, const Loops& along, FoldArguments& f) const {
    chain::Arguments& a = f.chain;
    const size_t n = p_.inputs.size();
    for (size_t i = 0; i < n; ++i) a.in[i] = c.in(p_.inputs[i]).data;
    a.out = c.out().data;
    f.kept = static_cast<int>(kept.rank), a.rank = static_cast<int>(kept.rank + along.rank);
    const auto copy = [&](const Loops& loops, size_t first) {
      for (size_t d = 0; d < loops.rank; ++d) {
        a.size[first + d] = chain::division_of(loops.size[d]);
        for (size_t i = 0; i <= kOutput; ++i) a.stride[i][first + d] = loops.strides[i][d];
      }
    };
    copy(kept, 0);
    copy(along, kept.rank);
    // Whole vectors where everything that is read or written in them lies side by side and aligned, or is one for all.
    const Loops& lane = f.columns ? kept : along;
    const Loops& other = f.columns ? along : kept;
    const int64_t lanes = p_.chain.vector;
    const size_t last = lane.rank - 1;
    bool whole = lane.rank > 0 && lane.size[last] % lanes == 0 && !(plan_.softmax && f.columns);
    const auto check_operand = [&](size_t i, const void* data, chain::Type type) {
      if (!whole) return;
      const int64_t stride = lane.strides[i][last], bytes = chain::bytes_of(type),
                    line = std::min<int64_t>(16, lanes * bytes);
      if (i < kOutput) a.step[i] = stride == 0 ? 0 : 1;
      whole = stride == 1 || (stride == 0 && i < kOutput);
      if (!whole || stride == 0) return;
      whole = chain::aligned(data, line);
      for (size_t d = 0; d < last; ++d) whole &= lane.strides[i][d] * bytes % line == 0;
      for (size_t d = 0; d < other.rank; ++d) whole &= other.strides[i][d] * bytes % line == 0;
    };
    for (size_t i = 0; i < (plan_.softmax ? n : p_.chain.front->operands); ++i)
      check_operand(i, a.in[i], p_.chain.operands[i].stored);
    if (plan_.softmax) check_operand(kOutput, a.out, p_.chain.out);
    a.whole = whole;
  }

  Plan plan_;
  chain::Prepared p_;
};

}  // namespace

Result<std::unique_ptr<PreparedKernel>> make_kernel(const PrepareContext& c, chain::Prepared prepared) {
  const size_t at = prepared.chain.front->steps;
  const Node& node = *c.group.nodes[at];
  Plan plan;
  plan.softmax = rule_of(node)->keeps_shape;
  plan.shape = at > 0 ? c.results[at - 1] : c.inputs[0].shape;
  plan.reduced.resize(plan.shape.size());
  for (int64_t axis : axes_of(node)) plan.reduced[static_cast<size_t>(axis)] = true;
  for (size_t i : prepared.inputs) plan.packed.push_back(c.inputs[i].layout == Layout::kNhwc8);
  plan.packed.push_back(c.outputs[0].layout == Layout::kNhwc8);
  if (element_count(plan.shape).value_or(INT64_MAX) >= int64_t{1} << 34)  // no more than 65535 slices
    return unsupported("[{}] is too large", fmt::join(plan.shape, ","));
  for (size_t d = 0; d < plan.shape.size(); ++d) (plan.reduced[d] ? plan.length : plan.lines) *= plan.shape[d];
  if (plan.lines > kMostIndices || plan.length > kMostIndices)
    return unsupported("{} lines of {} elements", plan.lines, plan.length);
  if (plan.softmax && plan.length > kLongestSoftmax) return unsupported("lines of {} elements", plan.length);
  if (node.is("ReduceMean") && is_integer(node.output()->dtype) && plan.length == 0)
    return unsupported("the mean of no integers");
  return std::unique_ptr<PreparedKernel>(std::make_unique<FoldKernel>(std::move(plan), std::move(prepared)));
}

}  // namespace fovea::core::cuda::fold
