#include "ir/expr.h"

#include <algorithm>
#include <bit>

#include "ir/expr_polynomial.h"

namespace fovea::core {
namespace expr_detail {

Expr make(ExprNode n) {
  n.hash = mix(static_cast<size_t>(n.op) * 31 + static_cast<size_t>(n.dtype), static_cast<size_t>(n.i));
  n.hash = mix(n.hash, std::bit_cast<uint64_t>(n.f));
  if (n.symbol)
    n.hash = mix(n.hash, std::hash<std::string>()(n.symbol->name)), n.data_dependent = n.symbol->data_dependent;
  for (const Expr& a : n.args) {
    n.hash = mix(n.hash, a.id()->hash);
    n.weight = saturate(Wide(n.weight) + a.weight());
    n.data_dependent |= a.data_dependent();
  }
  set_bounds(n);
  return Expr(std::make_shared<const ExprNode>(std::move(n)));
}

Expr make(ExprOp op, DType type, std::vector<Expr> args) {
  ExprNode n;
  n.op = op, n.dtype = type, n.args = std::move(args);
  return make(std::move(n));
}

}  // namespace expr_detail

using namespace expr_detail;

namespace {

Expr literal(DType type, int64_t value) {
  if (is_float_type(type)) return Expr::floating(type, unpack(value));
  return type == DType::kBool ? Expr::boolean(value != 0) : Expr(value);
}

// Folds a node whose arguments are all constants; builds it otherwise.
Expr fold_or_make(ExprOp op, DType type, std::vector<Expr> args) {
  if (std::all_of(args.begin(), args.end(), [](const Expr& e) { return e.is_const(); })) {
    std::vector<int64_t> v;
    for (const Expr& e : args) v.push_back(literal_of(e));
    if (auto r = apply(op, type, args[0].dtype(), v)) return literal(type, *r);
  }
  return make(op, type, std::move(args));
}

}  // namespace

Expr::Expr(int64_t value) {
  ExprNode n;
  n.i = value;
  *this = make(std::move(n));
}
Expr::Expr(SymbolPtr symbol) {
  ExprNode n;
  n.op = ExprOp::kSymbol, n.symbol = std::move(symbol);
  *this = make(std::move(n));
}
Expr Expr::boolean(bool value) {
  ExprNode n;
  n.dtype = DType::kBool, n.i = value;
  return make(std::move(n));
}
Expr Expr::floating(DType type, double value) {
  ExprNode n;
  n.dtype = type, n.f = round_to(type, value);
  return make(std::move(n));
}

DType Expr::dtype() const { return node_->dtype; }
ExprOp Expr::op() const { return node_->op; }
std::span<const Expr> Expr::args() const { return node_->args; }
const SymbolPtr& Expr::symbol() const { return node_->symbol; }
int64_t Expr::int_value() const { return node_->i; }
double Expr::float_value() const { return is_float_type(node_->dtype) ? node_->f : static_cast<double>(node_->i); }
int64_t Expr::lo() const { return node_->lo; }
int64_t Expr::hi() const { return node_->hi; }
bool Expr::data_dependent() const { return node_->data_dependent; }
int64_t Expr::weight() const { return node_->weight; }

int compare(const Expr& a, const Expr& b) {
  const ExprNode &x = *a.node_, &y = *b.node_;
  if (&x == &y) return 0;
  auto order = [](auto p, auto q) { return p < q ? -1 : p > q ? 1 : 0; };
  if (int c = order(x.op, y.op)) return c;
  if (int c = order(x.dtype, y.dtype)) return c;
  if (x.op == ExprOp::kSymbol) return x.symbol->name.compare(y.symbol->name);
  if (x.op == ExprOp::kConst) {
    if (int c = order(x.i, y.i)) return c;
    return order(std::bit_cast<uint64_t>(x.f), std::bit_cast<uint64_t>(y.f));
  }
  if (int c = order(x.args.size(), y.args.size())) return c;
  for (size_t i = 0; i < x.args.size(); ++i)
    if (int c = compare(x.args[i], y.args[i])) return c;
  return 0;
}

bool operator==(const Expr& a, const Expr& b) { return a.node_->hash == b.node_->hash && compare(a, b) == 0; }

Expr operator+(const Expr& a, const Expr& b) {
  Polynomial p = to_polynomial(a);
  for (const auto& [m, c] : to_polynomial(b)) add_term(p, m, c);
  return from_polynomial(p);
}
Expr operator-(const Expr& a, const Expr& b) { return a + Expr(int64_t{-1}) * b; }
Expr operator*(const Expr& a, const Expr& b) {
  Polynomial p = to_polynomial(a), q = to_polynomial(b), r;
  if (p.size() * q.size() > kMaxTerms) {
    std::vector<Expr> factors{a, b};
    std::sort(factors.begin(), factors.end(), [](const Expr& x, const Expr& y) { return compare(x, y) < 0; });
    return make(ExprOp::kProduct, DType::kInt64, std::move(factors));
  }
  for (const auto& [m, c] : p)
    for (const auto& [n, d] : q) {
      std::vector<Expr> factors;
      std::merge(m.begin(), m.end(), n.begin(), n.end(), std::back_inserter(factors),
                 [](const Expr& x, const Expr& y) { return compare(x, y) < 0; });
      add_term(r, factors, wrap_mul(c, d));
    }
  return from_polynomial(r);
}

Expr floor_div(const Expr& a, const Expr& b) {
  if (b.is_const(1)) return a;
  if (a.is_const() && b.is_const() && b.int_value() != 0) return div_floor(a.int_value(), b.int_value());
  if (b.lo() <= 0 && b.hi() >= 0) return make(ExprOp::kFloorDiv, DType::kInt64, {a, b});  // b may be zero
  if (a.is_const(0)) return int64_t{0};
  Polynomial p = to_polynomial(a), d = to_polynomial(b);
  if (auto k = constant_ratio(p, d)) return *k;
  if (d.size() == 1) {
    Polynomial quotient, rest;
    divide(p, d.begin()->first, d.begin()->second, quotient, rest);
    Expr q = from_polynomial(quotient), r = from_polynomial(rest);
    if (rest.empty()) return q;
    if (r.lo() >= 0 && b.lo() > 0 && r.hi() < b.lo()) return q;
    if (!quotient.empty()) return q + floor_div(r, b);
  }
  // (x / p) / q == x / (p * q) for positive constants
  if (a.op() == ExprOp::kFloorDiv && b.is_const() && b.int_value() > 0 && a.args()[1].is_const() &&
      a.args()[1].int_value() > 0)
    return floor_div(a.args()[0], a.args()[1] * b);
  return make(ExprOp::kFloorDiv, DType::kInt64, {a, b});
}
Expr ceil_div(const Expr& a, const Expr& b) { return floor_div(a + b - 1, b); }
Expr trunc_div(const Expr& a, const Expr& b) {
  if (a.is_const() && b.is_const() && b.int_value() != 0 && b.int_value() != -1) return a.int_value() / b.int_value();
  if (a.lo() >= 0 && b.lo() > 0) return floor_div(a, b);
  const Expr zero(int64_t{0});
  Expr magnitude = floor_div(max(a, zero - a), max(b, zero - b));
  return select(equal(less(a, zero), less(b, zero)), magnitude, zero - magnitude);
}
Expr floor_mod(const Expr& a, const Expr& b) {
  if (a.is_const() && b.is_const() && b.int_value() != 0) return mod_floor(a.int_value(), b.int_value());
  if (b.lo() > 0) {
    if (b.is_const(1)) return int64_t{0};
    if (a.lo() >= 0 && a.hi() < b.lo()) return a;
    Expr q = floor_div(a, b);
    if (Expr r = a - q * b; r.is_const()) return r;
    // Multiples of b drop out: (a + k*b) % b == a % b.
    if (Polynomial d = to_polynomial(b); d.size() == 1) {
      Polynomial quotient, rest;
      divide(to_polynomial(a), d.begin()->first, d.begin()->second, quotient, rest);
      if (!quotient.empty()) return floor_mod(from_polynomial(rest), b);
    }
  }
  return make(ExprOp::kMod, DType::kInt64, {a, b});
}

// The bounds of a - b. The algebra wraps, so constants near the ends of int64 (a slice's INT64_MAX) stay out of it.
namespace {
struct Interval {
  int64_t lo, hi;
};
Interval difference(const Expr& a, const Expr& b) {
  if (a.is_const() && b.is_const()) {
    const int sign = a.int_value() < b.int_value() ? -1 : a.int_value() > b.int_value();
    return {sign, sign};
  }
  Interval by_bounds{saturate(Wide(a.lo()) - b.hi()), saturate(Wide(a.hi()) - b.lo())};
  auto huge = [](const Expr& e) { return e.is_const() && (e.int_value() > kUnbounded || e.int_value() < -kUnbounded); };
  if (huge(a) || huge(b)) return by_bounds;
  Expr d = a - b;
  return {std::max(d.lo(), by_bounds.lo), std::min(d.hi(), by_bounds.hi)};
}
}  // namespace

// min(a, min(a, b)) == min(a, b); max alike.
static bool holds(const Expr& e, ExprOp op, const Expr& x) {
  return e.op() == op && (e.args()[0] == x || e.args()[1] == x);
}

Expr min(const Expr& a, const Expr& b) {
  if (a == b || holds(a, ExprOp::kMin, b)) return a;
  if (holds(b, ExprOp::kMin, a)) return b;
  const Interval d = difference(a, b);
  if (d.hi <= 0) return a;
  if (d.lo >= 0) return b;
  return compare(a, b) < 0 ? make(ExprOp::kMin, DType::kInt64, {a, b}) : make(ExprOp::kMin, DType::kInt64, {b, a});
}
Expr max(const Expr& a, const Expr& b) {
  if (a == b || holds(a, ExprOp::kMax, b)) return a;
  if (holds(b, ExprOp::kMax, a)) return b;
  const Interval d = difference(a, b);
  if (d.hi <= 0) return b;
  if (d.lo >= 0) return a;
  return compare(a, b) < 0 ? make(ExprOp::kMax, DType::kInt64, {a, b}) : make(ExprOp::kMax, DType::kInt64, {b, a});
}

Expr equal(const Expr& a, const Expr& b) {
  if (a.dtype() == DType::kInt64) {
    if (a == b) return Expr::boolean(true);
    const Interval d = difference(a, b);
    if (d.lo > 0 || d.hi < 0) return Expr::boolean(false);
  } else if (a.dtype() == DType::kBool && a == b) {
    return Expr::boolean(true);
  }
  return fold_or_make(ExprOp::kEq, DType::kBool, {a, b});
}
Expr less(const Expr& a, const Expr& b) {
  if (a.dtype() == DType::kInt64) {
    const Interval d = difference(a, b);
    if (d.hi < 0) return Expr::boolean(true);
    if (d.lo >= 0) return Expr::boolean(false);
  }
  return fold_or_make(ExprOp::kLt, DType::kBool, {a, b});
}
Expr less_equal(const Expr& a, const Expr& b) {
  if (a.dtype() == DType::kInt64) {
    const Interval d = difference(a, b);
    if (d.hi <= 0) return Expr::boolean(true);
    if (d.lo > 0) return Expr::boolean(false);
  }
  return fold_or_make(ExprOp::kLe, DType::kBool, {a, b});
}
Expr logical_and(const Expr& a, const Expr& b) {
  if (a.is_const()) return a.int_value() ? b : a;
  if (b.is_const()) return b.int_value() ? a : b;
  return make(ExprOp::kAnd, DType::kBool, {a, b});
}
Expr logical_or(const Expr& a, const Expr& b) {
  if (a.is_const()) return a.int_value() ? a : b;
  if (b.is_const()) return b.int_value() ? b : a;
  return make(ExprOp::kOr, DType::kBool, {a, b});
}
Expr logical_not(const Expr& a) {
  if (a.op() == ExprOp::kNot) return a.args()[0];
  return fold_or_make(ExprOp::kNot, DType::kBool, {a});
}
Expr select(const Expr& condition, const Expr& a, const Expr& b) {
  if (condition.is_const()) return condition.int_value() ? a : b;
  if (a == b) return a;
  return make(ExprOp::kSelect, a.dtype(), {condition, a, b});
}
Expr cast(const Expr& a, DType to) {
  if (a.dtype() == to) return a;
  if (to == DType::kBool && a.dtype() == DType::kInt64 && (a.lo() > 0 || a.hi() < 0)) return Expr::boolean(true);
  return fold_or_make(ExprOp::kCast, to, {a});
}
Expr float_op(ExprOp op, const std::vector<Expr>& args) { return fold_or_make(op, args[0].dtype(), args); }

Dim product(std::span<const Dim> dims) {
  Dim p = 1;
  for (const Dim& d : dims) p = p * d;
  return p;
}

std::string to_string(const Shape& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += (i ? "," : "") + shape[i].str();
  return s + "]";
}

std::optional<std::vector<int64_t>> constant_shape(const Shape& shape) {
  std::vector<int64_t> dims;
  for (const Dim& d : shape) {
    if (!d.is_const()) return std::nullopt;
    dims.push_back(d.int_value());
  }
  return dims;
}

void Expr::collect_symbols(std::vector<SymbolPtr>& out) const {
  if (op() == ExprOp::kSymbol) {
    if (std::none_of(out.begin(), out.end(), [&](const SymbolPtr& s) { return s->name == symbol()->name; }))
      out.push_back(symbol());
    return;
  }
  for (const Expr& a : args()) a.collect_symbols(out);
}

Result<int64_t> evaluate(const Expr& e, const Bindings& bindings) {
  if (e.is_const()) return literal_of(e);
  if (e.op() == ExprOp::kSymbol) {
    if (auto v = bindings(*e.symbol())) return *v;
    return internal_error("size symbol '{}' has no value", e.symbol()->name);
  }
  if (e.op() == ExprOp::kSelect) {  // what is not selected may divide by zero
    FOVEA_TRY_SET(int64_t condition, evaluate(e.args()[0], bindings));
    return evaluate(e.args()[condition ? 1 : 2], bindings);
  }
  std::vector<int64_t> values;
  for (const Expr& a : e.args()) {
    FOVEA_TRY_SET(int64_t v, evaluate(a, bindings));
    values.push_back(v);
  }
  if (auto r = apply(e.op(), e.dtype(), e.args()[0].dtype(), values)) return *r;
  return invalid_argument("size {} overflows or divides by zero", e.str());
}

Expr substitute(const Expr& e, const std::function<std::optional<Expr>(const Symbol&)>& replace) {
  if (e.is_const()) return e;
  if (e.op() == ExprOp::kSymbol) {
    auto r = replace(*e.symbol());
    return r ? *r : e;
  }
  std::vector<Expr> a;
  for (const Expr& x : e.args()) a.push_back(substitute(x, replace));
  switch (e.op()) {
    case ExprOp::kSum: {
      Expr s = a[0];
      for (size_t i = 1; i < a.size(); ++i) s = s + a[i];
      return s;
    }
    case ExprOp::kProduct: return product(a);
    case ExprOp::kFloorDiv: return floor_div(a[0], a[1]);
    case ExprOp::kMod: return floor_mod(a[0], a[1]);
    case ExprOp::kMin: return min(a[0], a[1]);
    case ExprOp::kMax: return max(a[0], a[1]);
    case ExprOp::kEq: return equal(a[0], a[1]);
    case ExprOp::kLt: return less(a[0], a[1]);
    case ExprOp::kLe: return less_equal(a[0], a[1]);
    case ExprOp::kAnd: return logical_and(a[0], a[1]);
    case ExprOp::kOr: return logical_or(a[0], a[1]);
    case ExprOp::kNot: return logical_not(a[0]);
    case ExprOp::kSelect: return select(a[0], a[1], a[2]);
    case ExprOp::kCast: return cast(a[0], e.dtype());
    default: return float_op(e.op(), a);
  }
}

}  // namespace fovea::core
