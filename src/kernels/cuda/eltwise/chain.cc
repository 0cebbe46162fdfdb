// Chains of element-wise operators: one kernel, written for the chain and compiled at run time, reads every operand
// once and writes the result once.
#include <algorithm>
#include <array>
#include <bit>

#include "kernels/cuda/chain_source.h"
#include "kernels/cuda/common.h"
#include "kernels/cuda/device/divide.cuh"
#include "ops/activation.h"
#include "ops/cast.h"

namespace fovea::core::cuda {
namespace {

using chain::Type;

constexpr size_t kMostSteps = 32;   // operators in a chain
constexpr size_t kMostInputs = 32;  // numbers included
constexpr int64_t kMostIndices = (int64_t{1} << 31) - 16;

enum class Kind : uint8_t {
  kFloat1,   // of one float
  kFloat2,   // of two floats
  kNumber1,  // of integers too
  kNumber2,
  kCompare,  // two of any type to a bool
  kBool1,
  kBool2,
  kClip,
  kWhere,
  kCast,
};

// `form` with {0}, {1}, ... for the operands, and numbers of the attributes behind them.
struct Rule {
  std::string_view op;
  Kind kind;
  std::string_view form;
};
constexpr Rule kRules[] = {
    {"Add", Kind::kNumber2, "add({0}, {1})"},
    {"Sub", Kind::kNumber2, "sub({0}, {1})"},
    {"Mul", Kind::kNumber2, "mul({0}, {1})"},
    {"Div", Kind::kFloat2, "divide({0}, {1})"},
    {"Max", Kind::kNumber2, "largest({0}, {1})"},
    {"Min", Kind::kNumber2, "smallest({0}, {1})"},
    {"Pow", Kind::kFloat2, "power({0}, {1})"},
    {"PRelu", Kind::kFloat2, "leaky_relu({0}, {1})"},
    {"Relu", Kind::kNumber1, "relu({0})"},
    {"Clip", Kind::kClip, ""},
    {"Sigmoid", Kind::kFloat1, "sigmoid({0})"},
    {"Exp", Kind::kFloat1, "expf({0})"},
    {"Log", Kind::kFloat1, "logf({0})"},
    {"Sqrt", Kind::kFloat1, "__fsqrt_rn({0})"},
    {"Erf", Kind::kFloat1, "erff({0})"},
    {"Neg", Kind::kNumber1, "negative({0})"},
    {"Abs", Kind::kNumber1, "absolute({0})"},
    {"Sign", Kind::kNumber1, "sign({0})"},
    {"Floor", Kind::kFloat1, "floorf({0})"},
    {"Ceil", Kind::kFloat1, "ceilf({0})"},
    {"Round", Kind::kFloat1, "rintf({0})"},
    {"Reciprocal", Kind::kFloat1, "divide(1.f, {0})"},
    {"Tanh", Kind::kFloat1, "tanhf({0})"},
    {"HardSigmoid", Kind::kFloat1, "hard_sigmoid({0}, {1}, {2})"},
    {"HardSwish", Kind::kFloat1, "hard_swish({0})"},
    {"LeakyRelu", Kind::kFloat1, "leaky_relu({0}, {1})"},
    {"Swish", Kind::kFloat1, "swish({0}, {1})"},
    {"Elu", Kind::kFloat1, "elu({0}, {1})"},
    {"Celu", Kind::kFloat1, "celu({0}, {1})"},
    {"Selu", Kind::kFloat1, "selu({0}, {1}, {2})"},
    {"ThresholdedRelu", Kind::kFloat1, "thresholded({0}, {1})"},
    {"Softplus", Kind::kFloat1, "softplus({0})"},
    {"Softsign", Kind::kFloat1, "softsign({0})"},
    {"Mish", Kind::kFloat1, "mish({0})"},
    {"Gelu", Kind::kFloat1, "gelu({0})"},
    {"Equal", Kind::kCompare, "({0} == {1})"},
    {"Greater", Kind::kCompare, "({0} > {1})"},
    {"GreaterOrEqual", Kind::kCompare, "({0} >= {1})"},
    {"Less", Kind::kCompare, "({0} < {1})"},
    {"LessOrEqual", Kind::kCompare, "({0} <= {1})"},
    {"And", Kind::kBool2, "({0} && {1})"},
    {"Or", Kind::kBool2, "({0} || {1})"},
    {"Xor", Kind::kBool2, "({0} != {1})"},
    {"Not", Kind::kBool1, "(!{0})"},
    {"Where", Kind::kWhere, "({0} ? {1} : {2})"},
    {"Cast", Kind::kCast, ""},
};

const Rule* rule_of(const Node& node) {
  for (const Rule& r : kRules)
    if (node.is(r.op)) return &r;
  return nullptr;
}
size_t operands_of(Kind kind) {
  switch (kind) {
    case Kind::kFloat2:
    case Kind::kNumber2:
    case Kind::kCompare:
    case Kind::kBool2: return 2;
    case Kind::kClip:
    case Kind::kWhere: return 3;
    default: return 1;
  }
}

// The numbers that a node's attributes bring, in the order of its form.
std::vector<float> numbers_of(const Node& node) {
  const auto f = [](double v) { return static_cast<float>(v); };
  if (node.is("LeakyRelu")) return {f(node.as<LeakyReluAttrs>().alpha)};
  if (node.is("Swish") || node.is("Elu") || node.is("Celu") || node.is("ThresholdedRelu"))
    return {f(node.as<AlphaAttrs>().alpha)};
  if (node.is("HardSigmoid")) return {f(node.as<HardSigmoidAttrs>().alpha), f(node.as<HardSigmoidAttrs>().beta)};
  if (node.is("Selu")) return {f(node.as<SeluAttrs>().alpha), f(node.as<SeluAttrs>().gamma)};
  return {};
}

bool is_scalar(const Value* v) {
  return std::ranges::all_of(v->shape, [](const Dim& d) { return d.is_const(1); });
}
// Read when the kernel is prepared.
bool is_number(const Value* v) { return v->is_constant() && is_scalar(v); }

// As which a tensor of this type is stored.
std::optional<Type> type_of(DType type) {
  switch (type) {
    case DType::kFloat32: return Type::kFloat;
    case DType::kFloat16: return Type::kHalf;
    case DType::kInt32: return Type::kInt;
    case DType::kInt64: return Type::kLong;
    case DType::kBool: return Type::kBool;
    default: return std::nullopt;
  }
}
bool is_real(Type type) { return type == Type::kFloat || type == Type::kHalf; }

std::string type_refusal(const Node& node, const Rule& rule) {
  for (const auto* values : {&node.inputs, &node.outputs})
    for (const Value* v : *values)
      if (v && !type_of(v->dtype)) return fmt::format("{}: {}", node.op->name, to_string(v->dtype));
  const DType first = node.inputs[0]->dtype;
  const Type from = *type_of(first), to = *type_of(node.output()->dtype);
  const auto refusal = [&] { return fmt::format("{} of {}", node.op->name, to_string(first)); };
  switch (rule.kind) {
    case Kind::kFloat1:
    case Kind::kFloat2:
      if (!is_real(from)) return refusal();
      break;
    case Kind::kNumber1:
    case Kind::kNumber2:
    case Kind::kClip:
      if (from == Type::kBool) return refusal();
      break;
    case Kind::kBool1:
    case Kind::kBool2:
      if (from != Type::kBool) return refusal();
      break;
    case Kind::kCast:
      // The reference rounds once, from the integer itself.
      if (to == Type::kHalf && (from == Type::kInt || from == Type::kLong)) return refusal() + " to float16";
      return "";
    case Kind::kCompare:
    case Kind::kWhere: break;
  }
  for (size_t i = rule.kind == Kind::kWhere ? 2 : 1; i < node.inputs.size(); ++i)
    if (node.inputs[i] && node.inputs[i]->dtype != node.inputs[rule.kind == Kind::kWhere ? 1 : 0]->dtype)
      return fmt::format("{} of different types", node.op->name);
  return "";
}

// Do this node's operands fit, `chained` (or null) being the one that the chain brings?
bool fits(const Node& node, const Value* chained) {
  const Rule* rule = rule_of(node);
  if (!rule || node.outputs.size() != 1 || !node.outputs[0] || !node.input(0)) return false;
  if (rule->kind == Kind::kClip) {
    if (chained && node.input(0) != chained) return false;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (node.inputs[i] && (node.inputs[i] == chained || !is_scalar(node.inputs[i]))) return false;
    return node.inputs.size() <= 3;
  }
  return node.inputs.size() == operands_of(rule->kind) &&
         std::ranges::all_of(node.inputs, [](const Value* v) { return v != nullptr; });
}

// Will a convolution or product want to take the node that uses `v` alone?
bool wanted_by_product(const Graph& graph, const Value* v) {
  for (int depth = 0; depth < 4 && v && v->producer && only_user(graph, v); ++depth) {
    const Node& n = *v->producer;
    if (n.is("Conv") || n.is("ConvTranspose") || n.is("Gemm") || n.is("MatMul")) return true;
    if (!rule_of(n)) return false;
    v = n.input(0);
  }
  return false;
}

bool within_limits(const Group& group) {
  return group.inputs.size() <= kMostInputs &&
         std::ranges::count_if(group.inputs, [](const Value* v) { return v && !is_number(v); }) <= chain::kMostOperands;
}

std::vector<Group> match(const Graph& graph, const Node& anchor) {
  if (!fits(anchor, nullptr)) return {};
  Group group = single_node_group(anchor);
  std::vector<Group> groups = {group};
  while (const Node* next = group.nodes.size() < kMostSteps ? only_user(graph, group.outputs[0]) : nullptr) {
    const Value* value = group.outputs[0];
    if (!fits(*next, value) || next->output()->shape != value->shape) break;
    if (!type_refusal(*next, *rule_of(*next)).empty()) break;
    bool wanted = false;
    for (const Value* v : next->inputs) {
      if (!v || v == value) continue;
      wanted |= operands_of(rule_of(*next)->kind) == 2 && wanted_by_product(graph, v);
      group.inputs.push_back(v);
    }
    if (wanted || !within_limits(group)) break;
    group.nodes.push_back(next);
    group.outputs = {next->output()};
    groups.push_back(group);
  }
  std::ranges::reverse(groups);
  return groups;
}

std::string refuse(const Group& group) {
  for (const Node* node : group.nodes)
    if (std::string reason = type_refusal(*node, *rule_of(*node)); !reason.empty()) return reason;
  const auto rank = group.outputs[0]->shape.size();
  for (const Value* v : group.inputs)
    if (v && v->shape.size() > rank) return "more dimensions than the output";
  return "";
}

// ---- formats

// One number for each channel of a picture of this shape, known beforehand: [C,1,1] or [1,C,1,1].
bool is_channel_constant(const Value* v, const Shape& shape) {
  const size_t rank = v->shape.size();
  if (!v->is_constant() || rank < 3 || rank > 4 || v->dtype != DType::kFloat32) return false;
  for (size_t i = 0; i < rank; ++i)
    if (i + 3 == rank ? v->shape[i] != shape[1] : !v->shape[i].is_const(1)) return false;
  return true;
}

// Of all channels, the same or repeated along others.
bool repeats_pixels(const Value* v, const Shape& shape) {
  if (v->is_constant() || v->shape.size() != 4 || v->shape[1] != shape[1]) return false;
  for (size_t i : {0, 2, 3})
    if (v->shape[i] != shape[i] && !v->shape[i].is_const(1)) return false;
  return true;
}

bool packs(const Group& group) {
  const Value& y = *group.outputs[0];
  if (y.shape.size() != 4 || y.dtype != DType::kFloat32) return false;
  bool any = false;
  for (const Value* v : group.inputs) {
    if (!v || is_number(v)) continue;
    if (v->dtype != DType::kFloat32) return false;
    if (!is_scalar(v) && !is_channel_constant(v, y.shape) && !repeats_pixels(v, y.shape)) return false;
    any |= repeats_pixels(v, y.shape);
  }
  return any;
}

std::vector<FormatChoice> formats(const Group& group) {
  const Value& y = *group.outputs[0];
  bool narrow = may_be_half(y);
  for (const Value* v : group.inputs) narrow |= v && !v->is_constant() && may_be_half(*v);
  std::vector<FormatChoice> choices;
  const auto offer = [&](bool packed, bool halves) {
    const auto format_of = [&](const Value& v, Format f) { return halves && may_be_half(v) ? half(f) : f; };
    FormatChoice choice;
    for (const Value* v : group.inputs) {
      if (!v || is_number(v)) choice.inputs.push_back(kHost);
      else if (v->is_constant()) choice.inputs.push_back(kPlain);
      else choice.inputs.push_back(format_of(*v, packed && repeats_pixels(v, y.shape) ? kNhwc8 : kPlain));
    }
    choice.outputs = {format_of(y, packed ? kNhwc8 : kPlain)};
    choices.push_back(std::move(choice));
  };
  for (const bool halves : {true, false}) {
    if (halves && !narrow) continue;
    offer(false, halves);
    if (packs(group)) offer(true, halves);
  }
  return choices;
}

// ---- the kernel

chain::Division division_of(int64_t d) {
  const Divisor r(d);
  return {r.divisor, r.magic, r.shift};
}

int64_t bytes_of(Type type) {
  switch (type) {
    case Type::kFloat:
    case Type::kInt: return 4;
    case Type::kHalf: return 2;
    case Type::kLong: return 8;
    case Type::kBool: return 1;
  }
  return 0;
}

bool aligned(const void* p, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) == 0;
}

Status launch(cudaKernel_t kernel, chain::Arguments& arguments, cudaStream_t stream) {
  constexpr unsigned kThreads = chain::kThreads;
  void* pointers[] = {&arguments};
  return check(
      cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3((arguments.threads + kThreads - 1) / kThreads),
                       dim3(kThreads), pointers, 0, stream),
      "chain");
}

struct Prepared {
  chain::Chain chain;
  std::vector<size_t> inputs;  // the group's, of each operand
  std::vector<int64_t> numbers;
  cudaKernel_t kernel = nullptr;
};

// Strides of an operand along the output's dimensions; 0 where it is repeated.
Result<std::array<int64_t, kMaxRank>> broadcast(const TensorRef& x, const TensorRef& y, size_t position) {
  std::array<int64_t, kMaxRank> strides{};
  bool ok = x.rank <= y.rank;
  for (int d = 0; ok && d < x.rank; ++d) {
    const auto from = static_cast<size_t>(d), to = static_cast<size_t>(d + y.rank - x.rank);
    ok = x.dims[from] == y.dims[to] || x.dims[from] == 1;
    strides[to] = x.dims[from] == 1 ? 0 : x.strides[from];
  }
  if (ok) return strides;
  return invalid_argument("input {} cannot be broadcast: its shape is [{}], the output's [{}]", position,
                          fmt::join(x.shape(), ","), fmt::join(y.shape(), ","));
}

class PlainChain final : public PreparedKernel {
 public:
  explicit PlainChain(Prepared prepared) : p_(std::move(prepared)) {}

  Status run(KernelContext& c) const override {
    const TensorRef& y = c.out();
    if (y.count() == 0) return {};
    const size_t n = p_.inputs.size();
    // The operands, then the output.
    std::array<const void*, chain::kMostOperands + 1> data{};
    std::array<std::array<int64_t, kMaxRank>, chain::kMostOperands + 1> strides{}, merged{};
    std::array<int64_t, kMaxRank> size{};
    std::array<int64_t, chain::kMostOperands + 1> bytes{};
    for (size_t i = 0; i < n; ++i) {
      const TensorRef& x = c.in(p_.inputs[i]);
      data[i] = x.data, bytes[i] = bytes_of(p_.chain.operands[i].stored);
      FOVEA_TRY_SET(strides[i], broadcast(x, y, p_.inputs[i]));
    }
    data[n] = y.data, bytes[n] = bytes_of(p_.chain.out), strides[n] = y.strides;
    // Loops, outermost first: neighbours that are one for every operand are joined.
    size_t rank = 0;
    for (size_t d = 0; d < static_cast<size_t>(y.rank); ++d) {
      if (y.dims[d] == 1) continue;
      bool joins = rank > 0;
      for (size_t i = 0; joins && i <= n; ++i) joins = merged[i][rank - 1] == strides[i][d] * y.dims[d];
      if (!joins) size[rank++] = 1;
      size[rank - 1] *= y.dims[d];
      for (size_t i = 0; i <= n; ++i) merged[i][rank - 1] = strides[i][d];
    }
    if (rank == 0) {
      size[rank++] = 1;
      merged[n][0] = 1;
    }
    return launch_all(data, merged, bytes, size, rank, handle_of(c));
  }

  std::string detail() const override { return fmt::format("{} in a row", p_.chain.steps.size()); }

 private:
  using Data = std::array<const void*, chain::kMostOperands + 1>;
  using Strides = std::array<std::array<int64_t, kMaxRank>, chain::kMostOperands + 1>;

  // As many launches as indices of 31 bits take: one, but for huge tensors.
  Status launch_all(Data data, const Strides& strides, const std::array<int64_t, chain::kMostOperands + 1>& bytes,
                    std::array<int64_t, kMaxRank> size, size_t rank, cudaStream_t stream) const {
    int64_t inner = 1;
    for (size_t d = 1; d < rank; ++d) inner *= size[d];
    if (inner > kMostIndices) return unsupported("{} elements in the inner dimensions", inner);
    const int64_t outer = size[0], most = inner == 1 ? kMostIndices : kMostIndices / inner;
    for (int64_t begin = 0; begin < outer; begin += most) {
      size[0] = std::min(most, outer - begin);
      FOVEA_TRY(launch_one(data, strides, bytes, size, rank, size[0] * inner, stream));
      for (size_t i = 0; i <= p_.inputs.size(); ++i)
        data[i] = static_cast<const std::byte*>(data[i]) + most * strides[i][0] * bytes[i];
    }
    return {};
  }

  Status launch_one(const Data& data, const Strides& strides,
                    const std::array<int64_t, chain::kMostOperands + 1>& bytes,
                    const std::array<int64_t, kMaxRank>& size, size_t rank, int64_t count, cudaStream_t stream) const {
    const size_t n = p_.inputs.size(), last = rank - 1;
    const int64_t lanes = p_.chain.vector;
    // Whole vectors only where every operand has them side by side and aligned, or has one number for them all.
    bool whole = (rank == 1 || size[last] % lanes == 0) && strides[n][last] == 1;
    for (size_t i = 0; whole && i <= n; ++i) {
      whole = strides[i][last] == 0 || strides[i][last] == 1;
      if (!whole || strides[i][last] == 0) continue;
      const int64_t line = std::min<int64_t>(16, lanes * bytes[i]);
      whole = aligned(data[i], line);
      for (size_t d = 0; d < last; ++d) whole &= strides[i][d] * bytes[i] % line == 0;
    }
    const int64_t step = whole ? lanes : 1;
    chain::Arguments a{};
    for (size_t i = 0; i < n; ++i) {
      a.in[i] = data[i];
      a.step[i] = strides[i][last] == 0 ? 0 : 1;
    }
    a.out = const_cast<void*>(data[n]);
    for (size_t i = 0; i <= n; ++i)
      for (size_t d = 0; d < rank; ++d)
        a.stride[i == n ? chain::kMostOperands : i][d] = strides[i][d] * (d == last ? step : 1);
    for (size_t d = 0; d < rank; ++d) a.size[d] = division_of(d == last ? (size[d] + step - 1) / step : size[d]);
    std::ranges::copy(p_.numbers, a.numbers);
    a.threads = static_cast<unsigned>((count + step - 1) / step), a.count = static_cast<unsigned>(count);
    a.rank = static_cast<int>(rank);
    a.whole = whole;
    return launch(p_.kernel, a, stream);
  }

  Prepared p_;
};

class PackedChain final : public PreparedKernel {
 public:
  explicit PackedChain(Prepared prepared) : p_(std::move(prepared)) {}

  Status run(KernelContext& c) const override {
    const TensorRef& y = c.out();
    const int64_t channels = y.dims[1], blocks = (channels + 7) / 8,
                  threads = y.dims[0] * y.dims[2] * y.dims[3] * blocks;
    if (threads == 0) return {};
    if (threads > kMostIndices) return unsupported("{} vectors of 8 channels", threads);
    chain::Arguments a{};
    bool good = aligned(y.data, 16);
    for (size_t i = 0; i < p_.inputs.size(); ++i) {
      const TensorRef& x = c.in(p_.inputs[i]);
      a.in[i] = x.data;
      if (p_.chain.operands[i].where == chain::Where::kChannel) {
        const size_t axis = static_cast<size_t>(x.rank - 3);
        a.stride[i][0] = x.rank >= 3 && x.dims[axis] > 1 ? x.strides[axis] : 0;
        continue;
      }
      good &= aligned(x.data, 16);
      FOVEA_TRY(broadcast(x, y, p_.inputs[i]).status());
      const int64_t column = blocks * 8, row = x.dims[3] * column, picture = x.dims[2] * row;
      a.stride[i][0] = x.dims[0] == 1 ? 0 : picture;
      a.stride[i][1] = x.dims[2] == 1 ? 0 : row;
      a.stride[i][2] = x.dims[3] == 1 ? 0 : column;
    }
    if (!good) return internal_error("a tensor in nhwc8 is not aligned to 16 bytes");
    a.out = y.data;
    std::ranges::copy(p_.numbers, a.numbers);
    a.size[0] = division_of(blocks), a.size[1] = division_of(y.dims[3]), a.size[2] = division_of(y.dims[2]);
    a.threads = static_cast<unsigned>(threads), a.channels = static_cast<int>(channels);
    return launch(p_.kernel, a, handle_of(c));
  }

  std::string detail() const override { return fmt::format("{} in a row", p_.chain.steps.size()); }

 private:
  Prepared p_;
};

// ---- preparing

int64_t bits_of(float f) { return std::bit_cast<int32_t>(f); }

// A constant of one element as chain::Arguments::numbers has it.
int64_t number_bits(const Tensor& t) {
  if (t.dtype() == DType::kFloat32) return bits_of(t.as<float>()[0]);
  if (t.dtype() == DType::kFloat16) return bits_of(static_cast<float>(t.as<Half>()[0]));
  return t.to_ints()[0];
}

std::string_view number_type(Type type) {
  switch (type) {
    case Type::kFloat:
    case Type::kHalf: return "0.f";
    case Type::kInt: return "0";
    case Type::kLong: return "0ll";
    case Type::kBool: return "false";
  }
  return "";
}

class Builder {
 public:
  explicit Builder(const PrepareContext& c) : c_(c) {}

  Result<Prepared> build() {
    const TensorDesc& y = c_.outputs[0];
    p_.chain.nhwc8 = y.layout == Layout::kNhwc8;
    const Value* chained = nullptr;
    for (const Node* node : c_.group.nodes) {
      std::vector<std::string> names;
      for (const Value* v : node->inputs) {
        if (chained && v == chained) {
          names.push_back(fmt::format("v{}", p_.chain.steps.size() - 1));
          continue;
        }
        // The anchor's absent inputs have places, those of others have none.
        if (v) names.push_back(input(next_));
        else names.emplace_back();
        if (v || !chained) ++next_;
      }
      for (float f : numbers_of(*node)) names.push_back(number(bits_of(f), Type::kFloat));
      p_.chain.steps.push_back({expression(*node, names), *type_of(node->output()->dtype)});
      chained = node->output();
    }
    if (p_.numbers.size() > static_cast<size_t>(chain::kMostNumbers) ||
        p_.inputs.size() > static_cast<size_t>(chain::kMostOperands))
      return unsupported("{} tensors and {} numbers", p_.inputs.size(), p_.numbers.size());
    p_.chain.out = *type_of(y.dtype);
    bool narrow = bytes_of(p_.chain.out) <= 2;
    for (const chain::Operand& o : p_.chain.operands) narrow &= bytes_of(o.stored) <= 2;
    p_.chain.vector = narrow ? 8 : 4;
    FOVEA_TRY_SET(p_.kernel, compile_kernel(device_of(c_), p_.chain.source(), "chain"));
    return std::move(p_);
  }

 private:
  std::string number(int64_t bits, Type type) {
    p_.numbers.push_back(bits);
    return fmt::format("number(a.numbers[{}], {})", p_.numbers.size() - 1, number_type(type));
  }

  // Input i of the group, as expressions have it.
  std::string input(size_t i) {
    const Value* v = c_.group.inputs[i];
    if (is_number(v)) return number(number_bits(*v->constant), *type_of(v->dtype));
    chain::Operand operand{*type_of(c_.inputs[i].dtype), chain::Where::kPlain};
    if (p_.chain.nhwc8) {
      operand.where = c_.inputs[i].layout != Layout::kNhwc8       ? chain::Where::kChannel
                      : c_.inputs[i].shape == c_.outputs[0].shape ? chain::Where::kWhole
                                                                  : chain::Where::kPixel;
    }
    p_.chain.operands.push_back(operand);
    p_.inputs.push_back(i);
    return fmt::format("x{}", p_.chain.operands.size() - 1);
  }

  static std::string expression(const Node& node, const std::vector<std::string>& names) {
    const Rule& rule = *rule_of(node);
    if (rule.kind == Kind::kCast) return cast(names[0], *type_of(node.output()->dtype));
    if (rule.kind == Kind::kClip) {
      std::string e = names[0];
      if (names.size() > 1 && !names[1].empty()) e = fmt::format("at_least({}, {})", e, names[1]);
      if (names.size() > 2 && !names[2].empty()) e = fmt::format("at_most({}, {})", e, names[2]);
      return e;
    }
    std::string_view form = rule.form;
    if (node.is("Gelu") && node.as<GeluAttrs>().approximate == GeluApproximation::kTanh) form = "gelu_tanh({0})";
    if (node.is("Pow") && is_number(node.inputs[1]) && number_bits(*node.inputs[1]->constant) == bits_of(2.0f))
      form = "mul({0}, {0})";
    std::string e;
    for (size_t i = 0; i < form.size(); ++i) {
      if (form[i] != '{') {
        e += form[i];
        continue;
      }
      e += names[static_cast<size_t>(form[i + 1] - '0')];
      i += 2;
    }
    return e;
  }

  static std::string cast(const std::string& x, Type to) {
    switch (to) {
      case Type::kFloat:
      case Type::kHalf: return fmt::format("to_float({})", x);
      case Type::kInt: return fmt::format("to_int({})", x);
      case Type::kLong: return fmt::format("to_long({})", x);
      case Type::kBool: return fmt::format("to_bool({})", x);
    }
    return "";
  }

  const PrepareContext& c_;
  Prepared p_;
  size_t next_ = 0;
};

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  FOVEA_TRY_SET(Prepared prepared, Builder(c).build());
  std::unique_ptr<PreparedKernel> kernel;
  if (prepared.chain.nhwc8) kernel = std::make_unique<PackedChain>(std::move(prepared));
  else kernel = std::make_unique<PlainChain>(std::move(prepared));
  return kernel;
}

}  // namespace
}  // namespace fovea::core::cuda

namespace fovea::core {

// The chain is the same whatever it starts with; a row has one operator.
#define FOVEA_CHAIN(symbol, Op)                                                  \
  const KernelRow kernel_nvrtc_chain_##symbol = {.name = "nvrtc_chain_" #symbol, \
                                                 .op = #Op,                      \
                                                 .strided_inputs = true,         \
                                                 .in_place = true,               \
                                                 .place = Place::kDevice,        \
                                                 .match = cuda::match,           \
                                                 .refuse = cuda::refuse,         \
                                                 .formats = cuda::formats,       \
                                                 .prepare = cuda::prepare,       \
                                                 .preference = 4};
FOVEA_CHAIN(add, Add)
FOVEA_CHAIN(sub, Sub)
FOVEA_CHAIN(mul, Mul)
FOVEA_CHAIN(div, Div)
FOVEA_CHAIN(max, Max)
FOVEA_CHAIN(min, Min)
FOVEA_CHAIN(pow, Pow)
FOVEA_CHAIN(prelu, PRelu)
FOVEA_CHAIN(relu, Relu)
FOVEA_CHAIN(clip, Clip)
FOVEA_CHAIN(sigmoid, Sigmoid)
FOVEA_CHAIN(exp, Exp)
FOVEA_CHAIN(log, Log)
FOVEA_CHAIN(sqrt, Sqrt)
FOVEA_CHAIN(erf, Erf)
FOVEA_CHAIN(neg, Neg)
FOVEA_CHAIN(abs, Abs)
FOVEA_CHAIN(sign, Sign)
FOVEA_CHAIN(floor, Floor)
FOVEA_CHAIN(ceil, Ceil)
FOVEA_CHAIN(round, Round)
FOVEA_CHAIN(reciprocal, Reciprocal)
FOVEA_CHAIN(tanh, Tanh)
FOVEA_CHAIN(hard_sigmoid, HardSigmoid)
FOVEA_CHAIN(hard_swish, HardSwish)
FOVEA_CHAIN(leaky_relu, LeakyRelu)
FOVEA_CHAIN(swish, Swish)
FOVEA_CHAIN(elu, Elu)
FOVEA_CHAIN(celu, Celu)
FOVEA_CHAIN(selu, Selu)
FOVEA_CHAIN(thresholded_relu, ThresholdedRelu)
FOVEA_CHAIN(softplus, Softplus)
FOVEA_CHAIN(softsign, Softsign)
FOVEA_CHAIN(mish, Mish)
FOVEA_CHAIN(gelu, Gelu)
FOVEA_CHAIN(equal, Equal)
FOVEA_CHAIN(greater, Greater)
FOVEA_CHAIN(greater_or_equal, GreaterOrEqual)
FOVEA_CHAIN(less, Less)
FOVEA_CHAIN(less_or_equal, LessOrEqual)
FOVEA_CHAIN(and, And)
FOVEA_CHAIN(or, Or)
FOVEA_CHAIN(xor, Xor)
FOVEA_CHAIN(not, Not)
FOVEA_CHAIN(where, Where)
FOVEA_CHAIN(cast, Cast)
#undef FOVEA_CHAIN

}  // namespace fovea::core
