// Chains of element-wise operators on float32, block by block with Highway: what lies between two of them stays in the
// first-level cache. The other operands may be broadcast; blocks of those are written out first.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/eltwise/chain.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/chain.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/table.h"
#include "ops/activation.h"

#ifndef FOVEA_ELTWISE_CHAIN_STEPS
#define FOVEA_ELTWISE_CHAIN_STEPS
namespace fovea::core::chain {

enum class Op : uint8_t {
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMax,
  kMin,
  kRelu,
  kClip,
  kSigmoid,
  kExp,
  kSqrt,
  kNeg,
  kAbs,
  kReciprocal,
  kTanh,
  kHardSigmoid,
  kHardSwish,
  kLeakyRelu,
  kSwish
};

}  // namespace fovea::core::chain
#endif

HWY_BEFORE_NAMESPACE();
namespace fovea::core {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using chain::Op;

// y[i] = f(a[i], b[i]); nothing is read or written past n.
template <typename F>
HWY_INLINE void map(const float* a, const float* b, float* y, size_t n, const F& f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float ta[HWY_MAX_BYTES / sizeof(float)] = {}, tb[HWY_MAX_BYTES / sizeof(float)] = {};
  std::memcpy(ta, a + i, (n - i) * sizeof(float));
  std::memcpy(tb, b + i, (n - i) * sizeof(float));
  hn::Store(f(hn::Load(d, ta), hn::Load(d, tb)), d, ta);
  std::memcpy(y + i, ta, (n - i) * sizeof(float));
}

HWY_INLINE V one() { return hn::Set(D(), 1.0f); }
HWY_INLINE V sigmoid(V x) {
  const D d;
  const V e = hn::Exp(d, hn::Neg(hn::Abs(x)));
  return keep_nan(x, hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one()), hn::Add(one(), e)));
}
HWY_INLINE V bounded(V x, V low, V high) {
  x = hn::IfThenElse(hn::Lt(x, low), low, x);
  return hn::IfThenElse(hn::Gt(x, high), high, x);
}
HWY_INLINE V hard_sigmoid(V x, V alpha, V beta) {
  return bounded(hn::Add(hn::Mul(alpha, x), beta), hn::Zero(D()), one());
}

void eltwise_step(Op op, const float* x, const float* other, float* y, size_t n, float alpha_value, float beta_value) {
  const D d;
  const V alpha = hn::Set(d, alpha_value), beta = hn::Set(d, beta_value), zero = hn::Zero(d);
  switch (op) {
    case Op::kAdd: return map(x, other, y, n, [](V a, V b) { return hn::Add(a, b); });
    case Op::kSub: return map(x, other, y, n, [](V a, V b) { return hn::Sub(a, b); });
    case Op::kMul: return map(x, other, y, n, [](V a, V b) { return hn::Mul(a, b); });
    case Op::kDiv: return map(x, other, y, n, [](V a, V b) { return hn::Div(a, b); });
    case Op::kMax:
      return map(x, other, y, n, [](V a, V b) { return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b); });
    case Op::kMin:
      return map(x, other, y, n, [](V a, V b) { return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b); });
    case Op::kRelu: return map(x, x, y, n, [=](V a, V) { return hn::IfThenElse(hn::Lt(a, zero), zero, a); });
    case Op::kClip: return map(x, x, y, n, [=](V a, V) { return bounded(a, alpha, beta); });
    case Op::kSigmoid: return map(x, x, y, n, [](V a, V) { return sigmoid(a); });
    case Op::kExp: return map(x, x, y, n, [](V a, V) { return exp(a); });
    case Op::kSqrt: return map(x, x, y, n, [](V a, V) { return hn::Sqrt(a); });
    case Op::kNeg: return map(x, x, y, n, [](V a, V) { return hn::Neg(a); });
    case Op::kAbs: return map(x, x, y, n, [](V a, V) { return hn::Abs(a); });
    case Op::kReciprocal: return map(x, x, y, n, [](V a, V) { return hn::Div(one(), a); });
    case Op::kTanh: return map(x, x, y, n, [=](V a, V) { return keep_nan(a, hn::Tanh(d, a)); });
    case Op::kHardSigmoid: return map(x, x, y, n, [=](V a, V) { return hard_sigmoid(a, alpha, beta); });
    case Op::kHardSwish: return map(x, x, y, n, [=](V a, V) { return hn::Mul(a, hard_sigmoid(a, alpha, beta)); });
    case Op::kLeakyRelu:
      return map(x, x, y, n, [=](V a, V) { return hn::IfThenElse(hn::Lt(a, zero), hn::Mul(alpha, a), a); });
    case Op::kSwish: return map(x, x, y, n, [=](V a, V) { return hn::Mul(a, sigmoid(hn::Mul(alpha, a))); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace fovea::core
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fovea::core {
namespace {

using chain::Op;

HWY_EXPORT(eltwise_step);

constexpr int64_t kBlock = 512;
constexpr size_t kMaxInputs = 10;  // a block of each may stand on the stack
constexpr size_t kMaxSteps = 32;   // operators in a chain
constexpr int64_t kGrain = 16384;  // elements worth a thread

std::optional<Op> op_of(const Node& node) {
  static constexpr std::pair<std::string_view, Op> kOps[] = {{"Add", Op::kAdd},
                                                             {"Sub", Op::kSub},
                                                             {"Mul", Op::kMul},
                                                             {"Div", Op::kDiv},
                                                             {"Max", Op::kMax},
                                                             {"Min", Op::kMin},
                                                             {"Relu", Op::kRelu},
                                                             {"Clip", Op::kClip},
                                                             {"Sigmoid", Op::kSigmoid},
                                                             {"Exp", Op::kExp},
                                                             {"Sqrt", Op::kSqrt},
                                                             {"Neg", Op::kNeg},
                                                             {"Abs", Op::kAbs},
                                                             {"Reciprocal", Op::kReciprocal},
                                                             {"Tanh", Op::kTanh},
                                                             {"HardSigmoid", Op::kHardSigmoid},
                                                             {"HardSwish", Op::kHardSwish},
                                                             {"LeakyRelu", Op::kLeakyRelu},
                                                             {"Swish", Op::kSwish}};
  for (const auto& [name, op] : kOps)
    if (node.is(name)) return op;
  return std::nullopt;
}
bool is_binary(Op op) { return op <= Op::kMin; }

// Do this node's operands fit, `chained` (or null) being the one that the chain brings?
bool fits(const Node& node, const Value* chained) {
  const auto op = op_of(node);
  if (!op || node.outputs.size() != 1 || !node.outputs[0] || !node.input(0)) return false;
  if (is_binary(*op)) return node.inputs.size() == 2 && node.input(1);
  if (chained && node.input(0) != chained) return false;
  for (size_t i = 1; i < node.inputs.size(); ++i)
    if (node.inputs[i] && (node.inputs[i] == chained || !is_scalar(*node.inputs[i]))) return false;
  return true;
}

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  static constexpr ChainRules kRules = {
      .most_nodes = kMaxSteps,
      .is_link = [](const Node& node) { return op_of(node).has_value(); },
      .is_binary = [](const Node& node) { return is_binary(*op_of(node)); },
      .fits = fits,
      .within_limits = [](const Group& group) { return group.inputs.size() <= kMaxInputs; }};
  return match_chain(graph, anchor, kRules);
}

std::string refuse(const Group& group) {
  for (const auto* values : {&group.inputs, &group.outputs})
    for (const Value* v : *values)
      if (v && v->dtype != DType::kFloat32) return fmt::format("{}, not float32", to_string(v->dtype));
  return "";
}

// Any layout serves where all lie alike and nothing but single numbers is broadcast.
std::vector<FormatChoice> layouts(const Group& group) {
  const size_t n = group.inputs.size();
  const Shape& shape = group.outputs[0]->shape;
  std::vector<FormatChoice> choices = {{std::vector<Format>(n, Layout::kPlain), {Layout::kPlain}}};
  if (shape.size() != 4) return choices;
  for (const Value* v : group.inputs)
    if (v && !is_scalar(*v) && (v->is_constant() || v->shape != shape)) return choices;
  for (Layout l : {Layout::kNhwc, Layout::kC8, Layout::kC16}) {
    // The zeros that fill the last block must stay zero.
    const int64_t block = l == Layout::kC8 ? 8 : 16;
    if (l != Layout::kNhwc && (!shape[1].is_const() || shape[1].int_value() % block != 0)) continue;
    FormatChoice c{{}, {l}};
    for (const Value* v : group.inputs) c.inputs.push_back(v && !is_scalar(*v) ? l : Layout::kPlain);
    choices.push_back(std::move(c));
  }
  return choices;
}

constexpr int kChained = -1, kAbsent = -2;

struct Step {
  Op op;
  int x = kChained, y = kAbsent, z = kAbsent;  // inputs of the group
  float alpha = 0, beta = 0;
};

// One operand against the output: dimensions that are broadcast alike are one.
struct Operand {
  const float* data = nullptr;
  bool dense = true;  // the output's elements one by one
  int rank = 0;       // of the collapsed shape, where not dense
  std::array<int64_t, kMaxRank> size{}, stride{};

  // Elements [begin, begin + n) of the output's order.
  void expand(int64_t begin, int64_t n, float* to) const {
    std::array<int64_t, kMaxRank> index{};
    int64_t rest = begin, offset = 0;
    for (int d = rank - 1; d >= 0; --d) {
      const auto k = static_cast<size_t>(d);
      index[k] = rest % size[k];
      rest /= size[k];
      offset += index[k] * stride[k];
    }
    const auto last = static_cast<size_t>(rank - 1);
    for (int64_t done = 0; done < n;) {
      const int64_t run = std::min(size[last] - index[last], n - done);
      if (stride[last] == 0) std::fill_n(to + done, run, data[offset]);
      else std::copy_n(data + offset, run, to + done);
      done += run;
      index[last] += run, offset += run * stride[last];
      for (size_t d = last; index[d] == size[d] && d > 0; --d) {
        offset -= index[d] * stride[d], index[d] = 0;
        ++index[d - 1], offset += stride[d - 1];
      }
    }
  }
};

Result<Operand> operand(const TensorRef& x, const TensorRef& y, size_t position) {
  Operand o;
  o.data = x.as<float>();
  bool ok = x.rank <= y.rank;
  int64_t step = 1;
  std::array<int64_t, kMaxRank> sizes{}, strides{};
  int rank = 0;  // innermost first
  for (int d = 1; ok && d <= y.rank; ++d) {
    const int64_t to = y.dims[static_cast<size_t>(y.rank - d)],
                  from = d <= x.rank ? x.dims[static_cast<size_t>(x.rank - d)] : 1;
    ok = from == to || from == 1;
    if (to == 1) continue;
    const int64_t stride = from == 1 ? 0 : step;
    step *= from;
    const auto k = static_cast<size_t>(rank);
    if (rank > 0 && strides[k - 1] * sizes[k - 1] == stride && (strides[k - 1] == 0) == (stride == 0)) {
      sizes[k - 1] *= to;
    } else {
      sizes[k] = to, strides[k] = stride;
      ++rank;
    }
  }
  if (!ok)
    return invalid_argument("input {} cannot be broadcast: its shape is [{}], the output's [{}]", position,
                            fmt::join(x.shape(), ","), fmt::join(y.shape(), ","));
  if (rank == 0) sizes[0] = 1, strides[0] = 1, rank = 1;
  o.dense = rank == 1 && strides[0] == 1;
  o.rank = rank;
  for (int d = 0; d < rank; ++d) {
    o.size[static_cast<size_t>(d)] = sizes[static_cast<size_t>(rank - 1 - d)];
    o.stride[static_cast<size_t>(d)] = strides[static_cast<size_t>(rank - 1 - d)];
  }
  return o;
}

class ChainKernel final : public PreparedKernel {
 public:
  ChainKernel(std::vector<Step> steps, Layout layout) : steps_(std::move(steps)), layout_(layout) {}

  Status run(KernelContext& c) const override {
    const TensorRef& out = c.out();
    std::array<Operand, kMaxInputs> operands;
    std::array<std::array<float, 2>, kMaxSteps> numbers{};
    for (size_t s = 0; s < steps_.size(); ++s) {
      const Step& step = steps_[s];
      numbers[s] = {step.alpha, step.beta};
      for (int i : {step.x, is_binary(step.op) ? step.y : kAbsent}) {
        if (i < 0) continue;
        const auto k = static_cast<size_t>(i);
        FOVEA_TRY_SET(operands[k], operand(c.in(k), out, k));
      }
      if (step.op != Op::kClip) continue;
      for (size_t b = 0; b < 2; ++b) {
        const int i = b == 0 ? step.y : step.z;
        if (i < 0) continue;
        const TensorRef& bound = c.in(static_cast<size_t>(i));
        if (bound.count() != 1) return invalid_argument("input {}: expected one number, found {}", i, bound.count());
        numbers[s][b] = *bound.as<float>();
      }
    }
    const int64_t count = storage_elements(layout_, out.shape());
    float* to = out.as<float>();
    parallel_for(c.threads, count, kGrain, [&](int64_t begin, int64_t end) {
      HWY_ALIGN float memory[kMaxInputs + 1][kBlock];
      for (int64_t at = begin; at < end; at += kBlock) {
        const int64_t n = std::min(kBlock, end - at);
        const auto block_of = [&](int i) -> const float* {
          if (i < 0) return memory[kMaxInputs];
          const auto k = static_cast<size_t>(i);
          if (operands[k].dense) return operands[k].data + at;
          // A single number, or one for many elements, is written once a thread.
          if (!(operands[k].rank == 1 && at != begin)) operands[k].expand(at, n, memory[k]);
          return memory[k];
        };
        for (size_t s = 0; s < steps_.size(); ++s) {
          const Step& step = steps_[s];
          const float* x = block_of(step.x);
          const float* y = is_binary(step.op) ? block_of(step.y) : x;
          HWY_DYNAMIC_DISPATCH(eltwise_step)
          (step.op, x, y, s + 1 == steps_.size() ? to + at : memory[kMaxInputs], static_cast<size_t>(n), numbers[s][0],
           numbers[s][1]);
        }
      }
    });
    return {};
  }

  std::string detail() const override { return fmt::format("{} in a row", steps_.size()); }

 private:
  std::vector<Step> steps_;
  Layout layout_;
};

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  std::vector<Step> steps;
  int next = 0;
  const Value* chained = nullptr;
  for (const Node* node : c.group.nodes) {
    Step step{.op = *op_of(*node), .x = kAbsent};
    int* const slots[] = {&step.x, &step.y, &step.z};
    for (size_t i = 0; i < node->inputs.size() && i < std::size(slots); ++i) {
      const Value* v = node->inputs[i];
      if (chained && v == chained) *slots[i] = kChained;
      else if (v) *slots[i] = next++;
      else next += chained ? 0 : 1;  // the anchor's absent inputs have places
    }
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    if (step.op == Op::kClip) step.alpha = -kInfinity, step.beta = kInfinity;
    if (step.op == Op::kLeakyRelu) step.alpha = static_cast<float>(node->as<LeakyReluAttrs>().alpha);
    if (step.op == Op::kSwish) step.alpha = static_cast<float>(node->as<AlphaAttrs>().alpha);
    if (step.op == Op::kHardSwish) step.alpha = 1.0f / 6.0f, step.beta = 0.5f;
    if (step.op == Op::kHardSigmoid)
      step.alpha = static_cast<float>(node->as<HardSigmoidAttrs>().alpha),
      step.beta = static_cast<float>(node->as<HardSigmoidAttrs>().beta);
    steps.push_back(step);
    chained = node->output();
  }
  return std::unique_ptr<PreparedKernel>(std::make_unique<ChainKernel>(std::move(steps), c.outputs[0].layout));
}

}  // namespace

// The chain is the same whatever it starts with; a row has one operator.
#define FOVEA_CHAIN(symbol, Op)                                                      \
  const KernelRow kernel_eltwise_chain_##symbol = {.name = "eltwise_chain_" #symbol, \
                                                   .op = #Op,                        \
                                                   .dynamic_shapes = true,           \
                                                   .in_place = true,                 \
                                                   .match = match,                   \
                                                   .refuse = refuse,                 \
                                                   .formats = layouts,               \
                                                   .prepare = prepare,               \
                                                   .preference = 4};
FOVEA_CHAIN(add, Add)
FOVEA_CHAIN(sub, Sub)
FOVEA_CHAIN(mul, Mul)
FOVEA_CHAIN(div, Div)
FOVEA_CHAIN(max, Max)
FOVEA_CHAIN(min, Min)
FOVEA_CHAIN(relu, Relu)
FOVEA_CHAIN(clip, Clip)
FOVEA_CHAIN(sigmoid, Sigmoid)
FOVEA_CHAIN(exp, Exp)
FOVEA_CHAIN(sqrt, Sqrt)
FOVEA_CHAIN(neg, Neg)
FOVEA_CHAIN(abs, Abs)
FOVEA_CHAIN(reciprocal, Reciprocal)
FOVEA_CHAIN(tanh, Tanh)
FOVEA_CHAIN(hard_sigmoid, HardSigmoid)
FOVEA_CHAIN(hard_swish, HardSwish)
FOVEA_CHAIN(leaky_relu, LeakyRelu)
FOVEA_CHAIN(swish, Swish)
#undef FOVEA_CHAIN

}  // namespace fovea::core
#endif
