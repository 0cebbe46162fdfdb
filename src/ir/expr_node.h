// What an Expr is made of; only the files of Expr itself (expr*.cc, shape_program.cc) look here.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>

#include "ir/expr.h"

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

namespace expr_detail {

using Wide = __int128;

inline int64_t saturate(Wide v) { return static_cast<int64_t>(std::clamp<Wide>(v, -kUnbounded, kUnbounded)); }
inline int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline int64_t wrap_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

inline int64_t div_floor(int64_t a, int64_t b) {
  if (b == -1) return static_cast<int64_t>(-static_cast<uint64_t>(a));  // INT64_MIN / -1 wraps
  int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}
inline int64_t mod_floor(int64_t a, int64_t b) { return b == -1 ? 0 : a - div_floor(a, b) * b; }

inline size_t mix(size_t h, size_t v) { return (h ^ v) * 0x9e3779b97f4a7c15ull + (h >> 29); }

inline bool is_float_type(DType t) { return t == DType::kFloat32 || t == DType::kFloat64; }

inline double round_to(DType type, double v) {
  return type == DType::kFloat32 ? static_cast<double>(static_cast<float>(v)) : v;
}

inline bool bounded(const Expr& e) {
  return is_float_type(e.dtype()) ? std::isfinite(e.id()->flo) && std::isfinite(e.id()->fhi)
                                  : e.lo() > -kUnbounded && e.hi() < kUnbounded;
}

inline int64_t pack(double v) { return std::bit_cast<int64_t>(v); }
inline double unpack(int64_t v) { return std::bit_cast<double>(v); }

void set_bounds(ExprNode& n);  // of a node from its arguments' bounds
Expr make(ExprNode n);
Expr make(ExprOp op, DType type, std::vector<Expr> args);

// One operation on evaluated arguments; floats travel as bits. Nothing on overflow and on division by zero.
std::optional<int64_t> apply(ExprOp op, DType type, DType arg_type, std::span<const int64_t> a);
int64_t literal_of(const Expr& e);  // of a constant

}  // namespace expr_detail
}  // namespace fovea::core
