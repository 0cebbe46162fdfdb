#include "kernels/cuda/eltwise/chain_rules.h"

#include <algorithm>

#include "kernels/chain.h"
#include "ops/activation.h"
#include "ops/cast.h"

namespace fovea::core::cuda::chain {
namespace {

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

bool is_real(Type type) { return type == Type::kFloat || type == Type::kHalf; }

}  // namespace

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

std::vector<float> numbers_of(const Node& node) {
  const auto f = [](double v) { return static_cast<float>(v); };
  if (node.is("LeakyRelu")) return {f(node.as<LeakyReluAttrs>().alpha)};
  if (node.is("Swish") || node.is("Elu") || node.is("Celu") || node.is("ThresholdedRelu"))
    return {f(node.as<AlphaAttrs>().alpha)};
  if (node.is("HardSigmoid")) return {f(node.as<HardSigmoidAttrs>().alpha), f(node.as<HardSigmoidAttrs>().beta)};
  if (node.is("Selu")) return {f(node.as<SeluAttrs>().alpha), f(node.as<SeluAttrs>().gamma)};
  return {};
}

bool is_number(const Value* v) { return v->is_constant() && is_scalar(*v); }

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

bool fits(const Node& node, const Value* chained) {
  const Rule* rule = rule_of(node);
  if (!rule || node.outputs.size() != 1 || !node.outputs[0] || !node.input(0)) return false;
  if (rule->kind == Kind::kClip) {
    if (chained && node.input(0) != chained) return false;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      if (node.inputs[i] && (node.inputs[i] == chained || !is_scalar(*node.inputs[i]))) return false;
    return node.inputs.size() <= 3;
  }
  return node.inputs.size() == operands_of(rule->kind) &&
         std::ranges::all_of(node.inputs, [](const Value* v) { return v != nullptr; });
}

}  // namespace fovea::core::cuda::chain
