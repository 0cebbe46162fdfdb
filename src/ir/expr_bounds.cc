#include "ir/expr_node.h"

namespace fovea::core::expr_detail {
namespace {

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

}  // namespace

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

}  // namespace fovea::core::expr_detail
