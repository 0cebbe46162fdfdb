#include "ir/expr_node.h"

namespace fovea::core::expr_detail {
namespace {

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

}  // namespace

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

}  // namespace fovea::core::expr_detail
