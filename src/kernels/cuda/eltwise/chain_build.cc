#include "kernels/cuda/eltwise/chain_build.h"

#include <bit>

#include "kernels/cuda/eltwise/chain_rules.h"
#include "kernels/cuda/reduce/fold_rules.h"
#include "ops/activation.h"

namespace fovea::core::cuda::chain {
namespace {

int64_t bits_of(float f) { return std::bit_cast<int32_t>(f); }

// A constant of one element as Arguments::numbers has it.
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
    const Node* fold = fold::fold_of(c_.group);
    p_.chain.nhwc8 = !fold && y.layout == Layout::kNhwc8;
    const Value* chained = nullptr;
    for (const Node* node : c_.group.nodes) {
      if (node == fold) {
        if (!chained) (void)input(next_++);
        p_.chain.front = {p_.chain.steps.size(), p_.chain.operands.size()};
        p_.chain.steps.push_back({"", *type_of(node->output()->dtype)});
        chained = node->output();
        continue;
      }
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
    if (p_.numbers.size() > static_cast<size_t>(kMostNumbers) || p_.inputs.size() > static_cast<size_t>(kMostOperands))
      return unsupported("{} tensors and {} numbers", p_.inputs.size(), p_.numbers.size());
    if (fold && p_.chain.front->operands == 0) return unsupported("{} of numbers alone", fold->op->name);
    p_.chain.out = *type_of(y.dtype);
    bool narrow = bytes_of(p_.chain.out) <= 2;
    for (const Operand& o : p_.chain.operands) narrow &= bytes_of(o.stored) <= 2;
    p_.chain.vector = narrow ? 8 : 4;
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
    Operand operand{*type_of(c_.inputs[i].dtype), Where::kPlain};
    if (p_.chain.nhwc8) {
      operand.where = c_.inputs[i].layout != Layout::kNhwc8       ? Where::kChannel
                      : c_.inputs[i].shape == c_.outputs[0].shape ? Where::kWhole
                                                                  : Where::kPixel;
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

}  // namespace

Result<Prepared> build(const PrepareContext& c) { return Builder(c).build(); }

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

}  // namespace fovea::core::cuda::chain
