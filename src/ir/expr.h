// Expr: a typed symbolic scalar; Dim: one of type int64. Sizes of tensors and the elements of small tensors are Exprs.
//
// Integer expressions are kept in a normal form (a sum of products with constant coefficients), so that equal sizes
// compare equal: (2*n + 4)/2 == n + 2. Floating-point ones are never rearranged: each operation is evaluated in its own
// type with its own rounding, because torchvision computes sizes in float32 and exact arithmetic is off by one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"

namespace fovea::core {

// No bound is known above this; sums of several stay clear of overflow.
inline constexpr int64_t kUnbounded = int64_t{1} << 60;

// A size that is known only later: from the shapes of the inputs, or from what a node computed (data-dependent).
struct Symbol {
  std::string name;
  int64_t lo = 1, hi = kUnbounded;
  bool data_dependent = false;
};
using SymbolPtr = std::shared_ptr<const Symbol>;
// Letters, digits, '_' and '.', not beginning with a digit, and no word of the text form ("true"): what parse_expr()
// reads.
bool valid_symbol_name(std::string_view name);

enum class ExprOp : uint8_t {
  kConst,
  kSymbol,
  kSum,
  kProduct,  // int64, any number of arguments, normal form
  kFloorDiv,
  kMod,
  kMin,
  kMax,  // int64
  kEq,
  kLt,
  kLe,
  kAnd,
  kOr,
  kNot,     // bool
  kSelect,  // any type: condition, then, else
  kCast,    // to this node's dtype, as ONNX's Cast
  kAdd,
  kSub,
  kMul,
  kDiv,
  kFMin,
  kFMax,
  kNeg,
  kAbs,
  kFloor,
  kCeil,
  kRound,
  kSqrt,
  kExp,
  kLog,
  kPow,  // float32 and float64
};

class Expr;
struct ExprNode;

class Expr {
 public:
  Expr() : Expr(int64_t{0}) {}
  Expr(int64_t value);                       // NOLINT: implicit on purpose, sizes are written as numbers
  Expr(int value) : Expr(int64_t{value}) {}  // NOLINT
  explicit Expr(SymbolPtr symbol);
  static Expr boolean(bool value);
  static Expr floating(DType type, double value);  // rounded to type

  DType dtype() const;
  ExprOp op() const;
  std::span<const Expr> args() const;
  const SymbolPtr& symbol() const;  // kSymbol only

  bool is_const() const { return op() == ExprOp::kConst; }
  bool is_const(int64_t value) const { return is_const() && dtype() == DType::kInt64 && int_value() == value; }
  std::optional<int64_t> constant() const { return is_const() ? std::optional(int_value()) : std::nullopt; }
  int64_t int_value() const;   // of a constant int64 or bool
  double float_value() const;  // of a constant of any type

  // Bounds that hold for every binding of the symbols within theirs; int64 and bool only.
  int64_t lo() const;
  int64_t hi() const;
  bool data_dependent() const;  // does any symbol in it come from a node's output?
  int64_t weight() const;       // nodes of the expression as a tree, saturating
  const ExprNode* id() const { return node_.get(); }

  std::string str() const;
  void collect_symbols(std::vector<SymbolPtr>& out) const;  // each once, in order of appearance
  friend bool operator==(const Expr& a, const Expr& b);
  friend int compare(const Expr& a, const Expr& b);  // a total order, structural

  explicit Expr(std::shared_ptr<const ExprNode> node) : node_(std::move(node)) {}

 private:
  std::shared_ptr<const ExprNode> node_;
};

using Dim = Expr;
using Shape = std::vector<Dim>;

// int64 (both arguments) unless said otherwise.
Expr operator+(const Expr& a, const Expr& b);
Expr operator-(const Expr& a, const Expr& b);
Expr operator*(const Expr& a, const Expr& b);
Expr floor_div(const Expr& a, const Expr& b);  // towards minus infinity; evaluation with b == 0 is an error
Expr ceil_div(const Expr& a, const Expr& b);
Expr trunc_div(const Expr& a, const Expr& b);  // towards zero, as ONNX's Div
Expr floor_mod(const Expr& a, const Expr& b);  // sign of b, as ONNX's Mod with fmod = 0
Expr min(const Expr& a, const Expr& b);
Expr max(const Expr& a, const Expr& b);
// Comparisons of two int64, two bool or two floats of one type -> bool.
Expr equal(const Expr& a, const Expr& b);
Expr less(const Expr& a, const Expr& b);
Expr less_equal(const Expr& a, const Expr& b);
Expr logical_and(const Expr& a, const Expr& b);
Expr logical_or(const Expr& a, const Expr& b);
Expr logical_not(const Expr& a);
Expr select(const Expr& condition, const Expr& a, const Expr& b);
Expr cast(const Expr& a, DType to);  // int64, float32, float64, bool among each other
// Floating-point operations: `op` one of kAdd.. above, all arguments of one floating type.
Expr float_op(ExprOp op, const std::vector<Expr>& args);

Dim product(std::span<const Dim> dims);
std::string to_string(const Shape& shape);  // "[n,3,300,300]"
// The value of each constant dimension, or nullopt if any is not constant.
std::optional<std::vector<int64_t>> constant_shape(const Shape& shape);

// ---- evaluation
using Bindings = std::function<std::optional<int64_t>(const Symbol&)>;
// The value of an int64 or bool expression; an error names an unbound symbol, a division by zero or an overflow.
Result<int64_t> evaluate(const Expr& e, const Bindings& bindings);
// e with every symbol that `replace` answers for put in its place, simplified again.
Expr substitute(const Expr& e, const std::function<std::optional<Expr>(const Symbol&)>& replace);

// Parses what str() prints. `symbols` answers a name with its symbol, or null if there is none.
Result<Expr> parse_expr(std::string_view text, const std::function<SymbolPtr(std::string_view)>& symbols);

}  // namespace fovea::core
