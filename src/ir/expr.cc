#include "ir/expr.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <unordered_map>

namespace fovea::core {

struct ExprNode {
  ExprOp op = ExprOp::kConst;
  DType dtype = DType::kInt64;
  int64_t i = 0;  // constants of int64 and bool
  double f = 0;   // constants of float32 and float64
  SymbolPtr symbol;
  std::vector<Expr> args;
  int64_t lo = -kUnbounded, hi = kUnbounded;
  double flo = -HUGE_VAL, fhi = HUGE_VAL;  // of floats; both finite, or nothing is known and it may be NaN
  bool data_dependent = false;
  int64_t weight = 1;
  size_t hash = 0;
};

namespace {

using Wide = __int128;

int64_t saturate(Wide v) { return static_cast<int64_t>(std::clamp<Wide>(v, -kUnbounded, kUnbounded)); }
int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t wrap_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

int64_t div_floor(int64_t a, int64_t b) {
  if (b == -1) return static_cast<int64_t>(-static_cast<uint64_t>(a));  // INT64_MIN / -1 wraps
  int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}
int64_t mod_floor(int64_t a, int64_t b) { return b == -1 ? 0 : a - div_floor(a, b) * b; }

size_t mix(size_t h, size_t v) { return (h ^ v) * 0x9e3779b97f4a7c15ull + (h >> 29); }

bool is_float_type(DType t) { return t == DType::kFloat32 || t == DType::kFloat64; }

double round_to(DType type, double v) {
  return type == DType::kFloat32 ? static_cast<double>(static_cast<float>(v)) : v;
}

bool bounded(const Expr& e) {
  return is_float_type(e.dtype()) ? std::isfinite(e.id()->flo) && std::isfinite(e.id()->fhi)
                                  : e.lo() > -kUnbounded && e.hi() < kUnbounded;
}

// Bounds of a floating node. Rounding is monotone, so rounded bounds of exact arithmetic hold; where anything may be
// infinite or NaN nothing is claimed.
void set_float_bounds(ExprNode& n) {
  if (n.op == ExprOp::kConst && std::isfinite(n.f)) n.flo = n.fhi = n.f;
  if (n.op == ExprOp::kConst) return;
  const size_t first = n.op == ExprOp::kSelect ? 1 : 0;
  for (size_t i = first; i < n.args.size(); ++i)
    if (!bounded(n.args[i])) return;
  auto lo = [&](size_t k) {
    return is_float_type(n.args[k].dtype()) ? n.args[k].id()->flo : static_cast<double>(n.args[k].lo());
  };
  auto hi = [&](size_t k) {
    return is_float_type(n.args[k].dtype()) ? n.args[k].id()->fhi : static_cast<double>(n.args[k].hi());
  };
  double l = -HUGE_VAL, h = HUGE_VAL;
  auto corners = [&](auto&& f) {
    const double c[4] = {f(lo(0), lo(1)), f(lo(0), hi(1)), f(hi(0), lo(1)), f(hi(0), hi(1))};
    l = *std::min_element(c, c + 4), h = *std::max_element(c, c + 4);
  };
  switch (n.op) {
    case ExprOp::kCast: l = lo(0), h = hi(0); break;
    case ExprOp::kSelect: l = std::min(lo(1), lo(2)), h = std::max(hi(1), hi(2)); break;
    case ExprOp::kAdd: l = lo(0) + lo(1), h = hi(0) + hi(1); break;
    case ExprOp::kSub: l = lo(0) - hi(1), h = hi(0) - lo(1); break;
    case ExprOp::kMul: corners([](double a, double b) { return a * b; }); break;
    case ExprOp::kDiv:
      if (lo(1) > 0 || hi(1) < 0) corners([](double a, double b) { return a / b; });
      break;
    case ExprOp::kFMin: l = std::min(lo(0), lo(1)), h = std::min(hi(0), hi(1)); break;
    case ExprOp::kFMax: l = std::max(lo(0), lo(1)), h = std::max(hi(0), hi(1)); break;
    case ExprOp::kNeg: l = -hi(0), h = -lo(0); break;
    case ExprOp::kAbs:
      l = lo(0) <= 0 && hi(0) >= 0 ? 0 : std::min(std::fabs(lo(0)), std::fabs(hi(0))),
      h = std::max(std::fabs(lo(0)), std::fabs(hi(0)));
      break;
    case ExprOp::kFloor: l = std::floor(lo(0)), h = std::floor(hi(0)); break;
    case ExprOp::kCeil: l = std::ceil(lo(0)), h = std::ceil(hi(0)); break;
    case ExprOp::kRound: l = std::nearbyint(lo(0)), h = std::nearbyint(hi(0)); break;
    case ExprOp::kSqrt:
      if (lo(0) >= 0) l = std::sqrt(lo(0)), h = std::sqrt(hi(0));
      break;
    default: break;  // exp, log and pow of a library need not be monotone
  }
  l = round_to(n.dtype, l), h = round_to(n.dtype, h);
  if (std::isfinite(l) && std::isfinite(h)) n.flo = l, n.fhi = h;
}

// Bounds of a node from its arguments' bounds.
void set_bounds(ExprNode& n) {
  if (is_float_type(n.dtype)) return set_float_bounds(n);
  auto lo = [&](size_t k) { return n.args[k].lo(); };
  auto hi = [&](size_t k) { return n.args[k].hi(); };
  switch (n.op) {
    case ExprOp::kConst: n.lo = n.hi = saturate(n.i); break;
    case ExprOp::kSymbol: n.lo = n.symbol->lo, n.hi = n.symbol->hi; break;
    case ExprOp::kSum: {
      Wide l = 0, h = 0;
      for (const Expr& a : n.args) l += a.lo(), h += a.hi();
      n.lo = saturate(l), n.hi = saturate(h);
      break;
    }
    case ExprOp::kProduct: {
      int64_t l = 1, h = 1;
      for (const Expr& a : n.args) {
        Wide c[4] = {Wide(l) * a.lo(), Wide(l) * a.hi(), Wide(h) * a.lo(), Wide(h) * a.hi()};
        l = saturate(*std::min_element(c, c + 4)), h = saturate(*std::max_element(c, c + 4));
      }
      n.lo = l, n.hi = h;
      break;
    }
    case ExprOp::kFloorDiv:
      if (lo(1) > 0) {
        n.lo = lo(0) >= 0 ? lo(0) / hi(1) : div_floor(lo(0), lo(1));
        n.hi = hi(0) >= 0 ? hi(0) / lo(1) : div_floor(hi(0), hi(1));
        if (hi(0) >= kUnbounded) n.hi = kUnbounded;
        if (lo(0) <= -kUnbounded) n.lo = -kUnbounded;
      }
      break;
    case ExprOp::kMod:
      if (lo(1) > 0) n.lo = 0, n.hi = lo(0) >= 0 ? std::min(hi(1) - 1, hi(0)) : hi(1) - 1;
      break;
    case ExprOp::kMin: n.lo = std::min(lo(0), lo(1)), n.hi = std::min(hi(0), hi(1)); break;
    case ExprOp::kMax: n.lo = std::max(lo(0), lo(1)), n.hi = std::max(hi(0), hi(1)); break;
    case ExprOp::kSelect: n.lo = std::min(lo(1), lo(2)), n.hi = std::max(hi(1), hi(2)); break;
    case ExprOp::kCast:
      if (n.dtype == DType::kInt64 && n.args[0].dtype() == DType::kBool) n.lo = 0, n.hi = 1;
      if (n.dtype == DType::kInt64 && is_float_type(n.args[0].dtype()) && bounded(n.args[0])) {
        const double limit = static_cast<double>(kUnbounded);
        n.lo = static_cast<int64_t>(std::clamp(n.args[0].id()->flo, -limit, limit));
        n.hi = static_cast<int64_t>(std::clamp(n.args[0].id()->fhi, -limit, limit));
        // Past 2^63 a conversion gives INT64_MIN.
        if (n.hi >= kUnbounded || n.lo <= -kUnbounded) n.lo = -kUnbounded, n.hi = kUnbounded;
      }
      break;
    default: break;
  }
  if (n.dtype == DType::kBool && n.op != ExprOp::kConst) n.lo = 0, n.hi = 1;
}

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

// ---- int64 as a polynomial: monomial (sorted factors) -> coefficient
struct MonomialLess {
  bool operator()(const std::vector<Expr>& a, const std::vector<Expr>& b) const {
    if (a.size() != b.size()) return a.size() > b.size();  // constants last
    for (size_t i = 0; i < a.size(); ++i)
      if (int c = compare(a[i], b[i])) return c < 0;
    return false;
  }
};
using Polynomial = std::map<std::vector<Expr>, int64_t, MonomialLess>;
constexpr size_t kMaxTerms = 64;  // past this a product stays unexpanded: correct, only less simplified

void add_term(Polynomial& p, const std::vector<Expr>& monomial, int64_t coefficient) {
  auto [it, fresh] = p.try_emplace(monomial, 0);
  it->second = wrap_add(it->second, coefficient);
  if (it->second == 0) p.erase(it);
}

void add_product(Polynomial& p, const Expr& e) {
  int64_t coefficient = 1;
  std::vector<Expr> factors;
  for (const Expr& a : e.args()) {
    if (a.is_const()) coefficient = wrap_mul(coefficient, a.int_value());
    else factors.push_back(a);
  }
  add_term(p, factors, coefficient);
}

Polynomial to_polynomial(const Expr& e) {
  Polynomial p;
  auto add_one = [&](const Expr& term) {
    if (term.is_const()) add_term(p, {}, term.int_value());
    else if (term.op() == ExprOp::kProduct) add_product(p, term);
    else add_term(p, {term}, 1);
  };
  if (e.op() == ExprOp::kSum) {
    for (const Expr& a : e.args()) add_one(a);
  } else {
    add_one(e);
  }
  return p;
}

Expr from_term(const std::vector<Expr>& monomial, int64_t coefficient) {
  if (monomial.empty()) return coefficient;
  if (monomial.size() == 1 && coefficient == 1) return monomial[0];
  std::vector<Expr> args;
  if (coefficient != 1) args.push_back(coefficient);
  args.insert(args.end(), monomial.begin(), monomial.end());
  return make(ExprOp::kProduct, DType::kInt64, std::move(args));
}

Expr from_polynomial(const Polynomial& p) {
  if (p.empty()) return int64_t{0};
  std::vector<Expr> terms;
  for (const auto& [monomial, coefficient] : p) terms.push_back(from_term(monomial, coefficient));
  if (terms.size() == 1) return terms[0];
  return make(ExprOp::kSum, DType::kInt64, std::move(terms));
}

// monomial / divisor if every factor of the divisor occurs in it.
std::optional<std::vector<Expr>> divide_monomial(std::vector<Expr> monomial, const std::vector<Expr>& divisor) {
  for (const Expr& f : divisor) {
    auto it = std::find(monomial.begin(), monomial.end(), f);
    if (it == monomial.end()) return std::nullopt;
    monomial.erase(it);
  }
  return monomial;
}

// a / b without a rest; b is not zero. The smallest integer divided by -1 would trap.
std::optional<int64_t> exact_ratio(int64_t a, int64_t b) {
  if (b == -1) return wrap_mul(a, -1);
  return a % b == 0 ? std::optional(a / b) : std::nullopt;
}

// a == quotient * b + rest, with as much in the quotient as divides exactly. b has one term and is not zero.
void divide(const Polynomial& a, const std::vector<Expr>& monomial, int64_t coefficient, Polynomial& quotient,
            Polynomial& rest) {
  for (const auto& [m, c] : a) {
    auto q = divide_monomial(m, monomial);
    const auto ratio = exact_ratio(c, coefficient);
    if (q && ratio) add_term(quotient, *q, *ratio);
    else add_term(rest, m, c);
  }
}

// The constant k with a == k * b, if there is one.
std::optional<int64_t> constant_ratio(const Polynomial& a, const Polynomial& b) {
  if (a.size() != b.size() || b.empty()) return std::nullopt;
  std::optional<int64_t> ratio;
  for (auto i = a.begin(), j = b.begin(); i != a.end(); ++i, ++j) {
    const auto r = exact_ratio(i->second, j->second);
    if (i->first != j->first || !r || (ratio && *ratio != *r)) return std::nullopt;
    ratio = r;
  }
  return ratio;
}

// float32 arithmetic on float32 values done in double and rounded once is exactly float32 arithmetic for + - * / sqrt.
double float_arithmetic(ExprOp op, DType type, double a, double b) {
  switch (op) {
    case ExprOp::kAdd: return round_to(type, a + b);
    case ExprOp::kSub: return round_to(type, a - b);
    case ExprOp::kMul: return round_to(type, a * b);
    case ExprOp::kDiv: return round_to(type, a / b);
    case ExprOp::kFMin: return std::isnan(a) || std::isnan(b) ? std::nan("") : std::min(a, b);
    case ExprOp::kFMax: return std::isnan(a) || std::isnan(b) ? std::nan("") : std::max(a, b);
    case ExprOp::kNeg: return -a;
    case ExprOp::kAbs: return std::fabs(a);
    case ExprOp::kFloor: return std::floor(a);
    case ExprOp::kCeil: return std::ceil(a);
    case ExprOp::kRound: return std::nearbyint(a);
    case ExprOp::kSqrt: return round_to(type, std::sqrt(a));
    case ExprOp::kExp: return type == DType::kFloat32 ? std::exp(static_cast<float>(a)) : std::exp(a);
    case ExprOp::kLog: return type == DType::kFloat32 ? std::log(static_cast<float>(a)) : std::log(a);
    case ExprOp::kPow:
      return type == DType::kFloat32 ? std::pow(static_cast<float>(a), static_cast<float>(b)) : std::pow(a, b);
    default: return std::nan("");
  }
}

int64_t float_to_int(double v) {
  if (std::isnan(v)) return std::numeric_limits<int64_t>::min();  // what x86 converts it to
  if (v >= 9223372036854775808.0 || v < -9223372036854775808.0) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(v);
}

int64_t pack(double v) { return std::bit_cast<int64_t>(v); }
double unpack(int64_t v) { return std::bit_cast<double>(v); }

// One operation on evaluated arguments; floats travel as bits. Shared by evaluate() and ShapeProgram.
std::optional<int64_t> apply(ExprOp op, DType type, DType arg_type, std::span<const int64_t> a) {
  const bool floats = is_float_type(arg_type);
  switch (op) {
    case ExprOp::kSum: {
      int64_t s = 0;
      for (int64_t v : a)
        if (__builtin_add_overflow(s, v, &s)) return std::nullopt;
      return s;
    }
    case ExprOp::kProduct: {
      int64_t s = 1;
      for (int64_t v : a)
        if (__builtin_mul_overflow(s, v, &s)) return std::nullopt;
      return s;
    }
    case ExprOp::kFloorDiv: return a[1] == 0 ? std::nullopt : std::optional(div_floor(a[0], a[1]));
    case ExprOp::kMod: return a[1] == 0 ? std::nullopt : std::optional(mod_floor(a[0], a[1]));
    case ExprOp::kMin: return std::min(a[0], a[1]);
    case ExprOp::kMax: return std::max(a[0], a[1]);
    case ExprOp::kEq: return floats ? unpack(a[0]) == unpack(a[1]) : a[0] == a[1];
    case ExprOp::kLt: return floats ? unpack(a[0]) < unpack(a[1]) : a[0] < a[1];
    case ExprOp::kLe: return floats ? unpack(a[0]) <= unpack(a[1]) : a[0] <= a[1];
    case ExprOp::kAnd: return a[0] && a[1];
    case ExprOp::kOr: return a[0] || a[1];
    case ExprOp::kNot: return !a[0];
    case ExprOp::kSelect: return a[0] ? a[1] : a[2];
    case ExprOp::kCast:
      if (is_float_type(type))
        return pack(round_to(type, floats ? unpack(a[0])
                                   : arg_type == DType::kInt64 && type == DType::kFloat32
                                       ? static_cast<double>(static_cast<float>(a[0]))
                                       : static_cast<double>(a[0])));
      if (type == DType::kBool) return floats ? unpack(a[0]) != 0 : a[0] != 0;
      return floats ? float_to_int(unpack(a[0])) : a[0];
    default: return pack(float_arithmetic(op, type, unpack(a[0]), a.size() > 1 ? unpack(a[1]) : 0));
  }
}

int64_t literal_of(const Expr& e) { return is_float_type(e.dtype()) ? pack(e.float_value()) : e.int_value(); }
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

int ShapeProgram::add_symbol(const SymbolPtr& symbol) {
  if (int known = symbol_slot(symbol->name); known >= 0) return known;
  Slot slot{ExprOp::kSymbol, DType::kInt64, DType::kInt64, 0, {}, symbol->data_dependent};
  slots_.push_back(std::move(slot));
  symbols_.push_back(symbol);
  symbol_slots_.push_back(slots() - 1);
  return slots() - 1;
}

int ShapeProgram::symbol_slot(std::string_view name) const {
  for (size_t i = 0; i < symbols_.size(); ++i)
    if (symbols_[i]->name == name) return symbol_slots_[i];
  return -1;
}

int ShapeProgram::add(const Expr& e) {
  if (e.op() == ExprOp::kSymbol) return add_symbol(e.symbol());
  auto [first, last] = memo_.equal_range(e.id()->hash);
  for (auto it = first; it != last; ++it)
    if (it->second.first == e) return it->second.second;
  Slot slot{e.op(), e.dtype(), e.args().empty() ? e.dtype() : e.args()[0].dtype(), 0, {}, e.data_dependent()};
  if (e.is_const()) slot.literal = literal_of(e);
  for (const Expr& a : e.args()) slot.args.push_back(add(a));
  // A long sum or product in pieces: run() keeps the arguments of one slot on its stack.
  while (slot.args.size() > kMaxArgs) {
    Slot piece = slot;
    piece.args.assign(slot.args.begin(), slot.args.begin() + kMaxArgs);
    slot.args.erase(slot.args.begin() + 1, slot.args.begin() + kMaxArgs);
    slots_.push_back(std::move(piece));
    slot.args[0] = slots() - 1;
  }
  slots_.push_back(std::move(slot));
  memo_.emplace(e.id()->hash, std::pair(e, slots() - 1));
  return slots() - 1;
}

Status ShapeProgram::run(std::span<int64_t> values, std::span<uint8_t> known) const {
  int64_t args[kMaxArgs];
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& s = slots_[i];
    if (known[i] || s.op == ExprOp::kSymbol) continue;
    if (s.op == ExprOp::kConst) {
      values[i] = s.literal, known[i] = 1;
      continue;
    }
    bool ready = true;
    for (size_t k = 0; k < s.args.size() && ready; ++k) {
      ready = known[static_cast<size_t>(s.args[k])] != 0;
      args[k] = values[static_cast<size_t>(s.args[k])];
    }
    if (!ready) continue;
    auto r = apply(s.op, s.dtype, s.arg_dtype, std::span<const int64_t>(args, s.args.size()));
    if (!r) return invalid_argument("a size overflows or divides by zero for these input shapes");
    values[i] = *r, known[i] = 1;
  }
  return {};
}

}  // namespace fovea::core
