// For tests of chains: element-wise operators in a row at random, on float32, int64, int32 and bool.
#pragma once

#include <limits>
#include <random>

#include "ir/infer.h"
#include "kernels/cpu/row_runner.h"
#include "ops/cast.h"
#include "ops/op.h"

namespace fovea::core::test {

using rows::Values;
using Names = std::vector<std::string_view>;

inline constexpr DType kTypes[] = {DType::kFloat32, DType::kInt64, DType::kInt32, DType::kBool};
// Each of them rounds once, as IEEE 754 says, or not at all.
inline const Names kUnary = {"Relu", "Neg", "Abs", "Sign"};
inline const Names kUnaryFloat = {"Relu", "Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Reciprocal"};
inline const Names kBinary = {"Add", "Sub", "Mul", "Max", "Min"};
inline const Names kBinaryFloat = {"Add", "Sub", "Mul", "Div", "Max", "Min"};
inline const Names kCompare = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"};
inline const Names kLogical = {"And", "Or", "Xor", "Equal"};

class ChainCase {
 public:
  explicit ChainCase(uint32_t seed) : rng_(seed) { half_ = seed % 3 == 0; }

  Status make() {
    Dims shape;
    for (int64_t rank = pick({0, 1, 1, 2, 2, 3, 4, 4, 5}); rank > 0; --rank)
      shape.push_back(pick({1, 2, 3, 4, 7, 8, 9, 16, 20}));
    if (!shape.empty() && pick({0, 1})) shape.back() = pick({1, 31, 32, 63, 65, 100});
    shape_ = shape;
    // The first operator may be what brings all sizes together.
    const bool grows = pick({0, 1}) != 0;
    chained_ = input(any_type(), grows ? repeated() : shape_);
    if (grows) FOVEA_TRY(meet(operand(chained_->dtype, shape_)));
    for (int64_t steps = pick({1, 2, 3, 5, 8}); steps > 0; --steps) FOVEA_TRY(step());
    graph_.outputs.push_back(chained_);
    graph_.output_names.push_back("y");
    for (const auto& n : graph_.nodes()) FOVEA_TRY(rows::run_reference(*n, values_));
    if (half_)
      for (const auto& v : graph_.values())
        if (v->dtype == DType::kFloat32 && !v->constant) v->storage.type = DType::kFloat16;
    return {};
  }

  const Graph& graph() const { return graph_; }
  const Node& anchor() const { return *graph_.nodes().front(); }
  const Values& values() const { return values_; }

 private:
  int64_t pick(std::initializer_list<int64_t> from) { return from.begin()[rng_() % from.size()]; }
  std::string_view pick(const Names& from) { return from[rng_() % from.size()]; }
  DType any_type() { return kTypes[rng_() % std::size(kTypes)]; }

  // Sizes of the shape, or 1, and some of the outermost missing.
  Dims repeated() {
    Dims dims(shape_.begin() + static_cast<std::ptrdiff_t>(rng_() % (shape_.size() + 1)), shape_.end());
    for (int64_t& d : dims) d = pick({0, 1}) ? 1 : d;
    return dims;
  }

  // Ordinary numbers, and those where types end. What may be stored as float16 has them all exactly.
  double number(DType type) {
    constexpr double kInf = std::numeric_limits<double>::infinity(), kNaN = std::numeric_limits<double>::quiet_NaN();
    const double ordinary = static_cast<double>(static_cast<int64_t>(rng_() % 33) - 16) / 4;
    if (type == DType::kBool || rng_() % 4 != 0) return ordinary;
    const double special[] = {0.,
                              -0.,
                              kInf,
                              -kInf,
                              kNaN,
                              1,
                              -1,
                              2147483648.,
                              -2147483648.,
                              2147483647.,
                              -2147483904.,
                              9223372036854775808.,
                              -9223372036854775808.,
                              3e38,
                              1e-41,
                              16777217.,
                              0.1};
    return special[rng_() % (half_ ? 7 : std::size(special))];
  }

  TensorPtr tensor(DType type, const Dims& dims) {
    auto t = Tensor::allocate(type, dims);
    if (!t.ok()) return nullptr;
    for (int64_t i = 0; i < (*t)->count(); ++i) {
      const double x = number(type);
      const bool inside = std::abs(x) < 9e18;
      std::byte* p = (*t)->mutable_data();
      if (type == DType::kFloat32) reinterpret_cast<float*>(p)[i] = static_cast<float>(x);
      else if (type == DType::kBool) reinterpret_cast<bool*>(p)[i] = x > 0;
      else if (type == DType::kInt64)
        reinterpret_cast<int64_t*>(p)[i] = inside ? static_cast<int64_t>(x) : std::numeric_limits<int64_t>::min();
      else reinterpret_cast<int32_t*>(p)[i] = static_cast<int32_t>(inside ? static_cast<int64_t>(x) : 0x7fffffff);
    }
    return *t;
  }

  Value* input(DType type, const Dims& dims) {
    Value* v = graph_.add_input(fmt::format("x{}", graph_.inputs.size()), type, Shape(dims.begin(), dims.end()));
    values_[v] = tensor(type, dims);
    return v;
  }
  // An input, a constant, or a number that the kernel knows.
  Value* operand(DType type, const Dims& dims) {
    const int64_t kind = pick({0, 0, 0, 1, 2});
    if (kind == 0 || dims == shape_) return input(type, dims);
    return graph_.add_constant(tensor(type, kind == 1 ? dims : Dims()));
  }
  Value* operand(DType type) { return operand(type, pick({0, 1}) ? shape_ : repeated()); }

  Status add(std::string_view op, std::vector<Value*> inputs, AttrsPtr attrs = nullptr) {
    Node* n = graph_.add_node(find_op(op), std::move(attrs), std::move(inputs), 1);
    FOVEA_TRY(infer_node(graph_, *n));
    chained_ = n->output();
    return {};
  }
  Status add_in_any_order(std::string_view op, Value* other) {
    if (rng_() % 2) return add(op, {chained_, other});
    return add(op, {other, chained_});
  }

  // The value so far with another of its type.
  Status meet(Value* other) {
    if (rng_() % 4 == 0 && chained_->dtype != DType::kBool) return add_in_any_order(pick(kCompare), other);
    if (rng_() % 4 == 0) return choose(other);
    const DType type = chained_->dtype;
    return add_in_any_order(pick(type == DType::kBool      ? kLogical
                                 : type == DType::kFloat32 ? kBinaryFloat
                                                           : kBinary),
                            other);
  }
  Status choose(Value* other) {
    Value* condition = operand(DType::kBool);
    if (rng_() % 2) return add("Where", {condition, chained_, other});
    return add("Where", {condition, other, chained_});
  }

  Status step() {
    const DType type = chained_->dtype;
    switch (rng_() % 6) {
      case 0: return cast();
      case 1:
        if (type == DType::kBool) return add("Not", {chained_});
        return add(pick(type == DType::kFloat32 ? kUnaryFloat : kUnary), {chained_});
      case 2:
        if (type == DType::kBool) {
          const DType of = any_type();
          return add("Where", {chained_, operand(of), operand(of)});
        }
        return clip();
      default: return meet(operand(type));
    }
  }
  Status cast() {
    CastAttrs attrs;
    attrs.to = any_type();
    return add("Cast", {chained_}, make_attrs(attrs));
  }
  Status clip() {
    const auto bound = [&] { return rng_() % 3 ? graph_.add_constant(tensor(chained_->dtype, {})) : nullptr; };
    Value* low = bound();
    return add("Clip", {chained_, low, bound()});
  }

  std::mt19937 rng_;
  Graph graph_{"chain"};
  Values values_;
  Dims shape_;
  bool half_ = false;
  Value* chained_ = nullptr;
};

}  // namespace fovea::core::test
