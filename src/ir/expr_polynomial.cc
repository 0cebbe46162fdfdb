#include "ir/expr_polynomial.h"

namespace fovea::core::expr_detail {

void add_term(Polynomial& p, const std::vector<Expr>& monomial, int64_t coefficient) {
  auto [it, fresh] = p.try_emplace(monomial, 0);
  it->second = wrap_add(it->second, coefficient);
  if (it->second == 0) p.erase(it);
}

namespace {

void add_product(Polynomial& p, const Expr& e) {
  int64_t coefficient = 1;
  std::vector<Expr> factors;
  for (const Expr& a : e.args()) {
    if (a.is_const()) coefficient = wrap_mul(coefficient, a.int_value());
    else factors.push_back(a);
  }
  add_term(p, factors, coefficient);
}

}  // namespace

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

namespace {

Expr from_term(const std::vector<Expr>& monomial, int64_t coefficient) {
  if (monomial.empty()) return coefficient;
  if (monomial.size() == 1 && coefficient == 1) return monomial[0];
  std::vector<Expr> args;
  if (coefficient != 1) args.push_back(coefficient);
  args.insert(args.end(), monomial.begin(), monomial.end());
  return make(ExprOp::kProduct, DType::kInt64, std::move(args));
}

}  // namespace

Expr from_polynomial(const Polynomial& p) {
  if (p.empty()) return int64_t{0};
  std::vector<Expr> terms;
  for (const auto& [monomial, coefficient] : p) terms.push_back(from_term(monomial, coefficient));
  if (terms.size() == 1) return terms[0];
  return make(ExprOp::kSum, DType::kInt64, std::move(terms));
}

namespace {

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

}  // namespace

void divide(const Polynomial& a, const std::vector<Expr>& monomial, int64_t coefficient, Polynomial& quotient,
            Polynomial& rest) {
  for (const auto& [m, c] : a) {
    auto q = divide_monomial(m, monomial);
    const auto ratio = exact_ratio(c, coefficient);
    if (q && ratio) add_term(quotient, *q, *ratio);
    else add_term(rest, m, c);
  }
}

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

}  // namespace fovea::core::expr_detail
