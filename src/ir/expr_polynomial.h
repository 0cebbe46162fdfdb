// Integer expressions as polynomials: sums of products with constant coefficients, the normal form of Expr.
#pragma once

#include <map>

#include "ir/expr_node.h"

namespace fovea::core::expr_detail {

struct MonomialLess {
  bool operator()(const std::vector<Expr>& a, const std::vector<Expr>& b) const {
    if (a.size() != b.size()) return a.size() > b.size();  // constants last
    for (size_t i = 0; i < a.size(); ++i)
      if (int c = compare(a[i], b[i])) return c < 0;
    return false;
  }
};
// Monomial (sorted factors) -> coefficient. Coefficients wrap, as int64 does.
using Polynomial = std::map<std::vector<Expr>, int64_t, MonomialLess>;
inline constexpr size_t kMaxTerms = 64;  // past this a product stays unexpanded: correct, only less simplified

void add_term(Polynomial& p, const std::vector<Expr>& monomial, int64_t coefficient);
Polynomial to_polynomial(const Expr& e);
Expr from_polynomial(const Polynomial& p);

// a == quotient * b + rest, with as much in the quotient as divides exactly. b has one term and is not zero.
void divide(const Polynomial& a, const std::vector<Expr>& monomial, int64_t coefficient, Polynomial& quotient,
            Polynomial& rest);
// The constant k with a == k * b, if there is one.
std::optional<int64_t> constant_ratio(const Polynomial& a, const Polynomial& b);

}  // namespace fovea::core::expr_detail
