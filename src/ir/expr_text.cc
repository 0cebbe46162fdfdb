// Text form of expressions: infix for + * / %, calls for the rest. "/" is floor division of int64.
#include <cctype>
#include <charconv>
#include <cmath>

#include "ir/expr.h"

namespace fovea::core {
namespace {

struct CallName {
  ExprOp op;
  std::string_view name;
  int args;
};
constexpr CallName kCalls[] = {
    {ExprOp::kMin, "min", 2},   {ExprOp::kMax, "max", 2},     {ExprOp::kEq, "eq", 2},
    {ExprOp::kLt, "lt", 2},     {ExprOp::kLe, "le", 2},       {ExprOp::kAnd, "and", 2},
    {ExprOp::kOr, "or", 2},     {ExprOp::kNot, "not", 1},     {ExprOp::kSelect, "select", 3},
    {ExprOp::kAdd, "fadd", 2},  {ExprOp::kSub, "fsub", 2},    {ExprOp::kMul, "fmul", 2},
    {ExprOp::kDiv, "fdiv", 2},  {ExprOp::kFMin, "fmin", 2},   {ExprOp::kFMax, "fmax", 2},
    {ExprOp::kNeg, "neg", 1},   {ExprOp::kAbs, "abs", 1},     {ExprOp::kFloor, "floor", 1},
    {ExprOp::kCeil, "ceil", 1}, {ExprOp::kRound, "round", 1}, {ExprOp::kSqrt, "sqrt", 1},
    {ExprOp::kExp, "exp", 1},   {ExprOp::kLog, "log", 1},     {ExprOp::kPow, "pow", 2},
};

// The shortest digits that read back as the same number: "0.1f", "1e+20d", "inff".
std::string float_text(const Expr& e) {
  if (std::isnan(e.float_value())) return e.dtype() == DType::kFloat32 ? "nanf" : "nand";
  if (e.dtype() == DType::kFloat32) return fmt::format("{}f", static_cast<float>(e.float_value()));
  return fmt::format("{}d", e.float_value());
}

std::string print(const Expr& e, int parent);  // parent: 0 none, 1 sum, 2 product or division

std::string print_sum(const Expr& e) {
  std::string s;
  for (const Expr& a : e.args()) {
    std::string t = print(a, 1);
    if (s.empty()) s = t;
    else if (t[0] == '-') s += " - " + t.substr(1);
    else s += " + " + t;
  }
  return s;
}

std::string print(const Expr& e, int parent) {
  auto wrap = [&](std::string s, int level) { return parent > level ? "(" + s + ")" : s; };
  switch (e.op()) {
    case ExprOp::kConst:
      if (e.dtype() == DType::kBool) return e.int_value() ? "true" : "false";
      if (e.dtype() == DType::kInt64) return std::to_string(e.int_value());
      return float_text(e);
    case ExprOp::kSymbol: return e.symbol()->name;
    case ExprOp::kSum: return wrap(print_sum(e), 0);
    case ExprOp::kProduct: {
      std::string s;
      for (const Expr& a : e.args()) {
        std::string t = print(a, 2);
        if (s == "-1" && t[0] != '-') s = "-" + t;
        else s += (s.empty() ? "" : "*") + t;
      }
      return wrap(s, 1);
    }
    case ExprOp::kFloorDiv:
    case ExprOp::kMod: {
      // (-4)/h, since a sum takes a leading minus for its own: n - 4/h.
      std::string dividend = print(e.args()[0], 2);
      if (dividend[0] == '-') dividend = "(" + dividend + ")";
      return wrap(dividend + (e.op() == ExprOp::kMod ? "%" : "/") + print(e.args()[1], 2), 1);
    }
    case ExprOp::kCast: return fmt::format("{}({})", to_string(e.dtype()), print(e.args()[0], 0));
    default: break;
  }
  for (const CallName& c : kCalls) {
    if (c.op != e.op()) continue;
    std::string s = std::string(c.name) + "(";
    for (size_t i = 0; i < e.args().size(); ++i) s += (i ? ", " : "") + print(e.args()[i], 0);
    return s + ")";
  }
  return "?";
}

class Parser {
 public:
  Parser(std::string_view text, const std::function<SymbolPtr(std::string_view)>& symbols)
      : text_(text), symbols_(symbols) {}

  Result<Expr> whole() {
    FOVEA_TRY_SET(Expr e, sum());
    skip();
    if (at_ != text_.size()) return fail("unexpected text");
    return e;
  }

 private:
  Status fail(std::string_view what) const {
    return invalid_model("size '{}': {} at offset {}", text_.substr(0, 200), what, at_);
  }
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  // Simplifying takes time with the square of an expression's length.
  Status short_enough(const Expr& e) const { return e.weight() > kMaxWeight ? fail("too long") : Status(); }
  Status same_int(const Expr& a, const Expr& b) const {
    if (a.dtype() != DType::kInt64 || b.dtype() != DType::kInt64) return fail("expected int64 operands");
    return {};
  }

  Result<Expr> sum() {
    if (++depth_ > kMaxDepth) return fail("nested too deeply");
    FOVEA_TRY_SET(Expr e, term());
    while (true) {
      bool plus = take('+');
      if (!plus && !take('-')) break;
      FOVEA_TRY_SET(Expr r, term());
      FOVEA_TRY(same_int(e, r));
      e = plus ? e + r : e - r;
      FOVEA_TRY(short_enough(e));
    }
    --depth_;
    return e;
  }

  Result<Expr> term() {
    FOVEA_TRY_SET(Expr e, factor());
    while (true) {
      char op = take('*') ? '*' : take('/') ? '/' : take('%') ? '%' : 0;
      if (!op) return e;
      FOVEA_TRY_SET(Expr r, factor());
      FOVEA_TRY(same_int(e, r));
      e = op == '*' ? e * r : op == '/' ? floor_div(e, r) : floor_mod(e, r);
      FOVEA_TRY(short_enough(e));
    }
  }

  Result<Expr> factor() {
    skip();
    if (at_ >= text_.size()) return fail("unexpected end");
    if (take('(')) {
      FOVEA_TRY_SET(Expr e, sum());
      if (!take(')')) return fail("expected ')'");
      return e;
    }
    char c = text_[at_];
    if (std::isdigit(static_cast<unsigned char>(c)) || c == '-') return number();
    return name();
  }

  Result<Expr> number() {
    // "-n" is minus one times n; "-5" a literal.
    if (text_[at_] == '-' && at_ + 1 < text_.size() && !std::isdigit(static_cast<unsigned char>(text_[at_ + 1])) &&
        text_.compare(at_ + 1, 3, "inf") != 0 && text_.compare(at_ + 1, 3, "nan") != 0) {
      ++at_;
      if (++depth_ > kMaxDepth) return fail("nested too deeply");
      FOVEA_TRY_SET(Expr e, factor());
      --depth_;
      if (e.dtype() != DType::kInt64) return fail("expected an int64");
      return Expr(int64_t{-1}) * e;
    }
    size_t end = at_;
    bool is_float = false;
    while (end < text_.size()) {
      char c = text_[end];
      if (std::isalnum(static_cast<unsigned char>(c)) || c == '.' || (c == '-' && end == at_) ||
          ((c == '+' || c == '-') && end > at_ && text_[end - 1] == 'e')) {
        is_float |= !std::isdigit(static_cast<unsigned char>(c)) && c != '-';
        ++end;
      } else {
        break;
      }
    }
    std::string token(text_.substr(at_, end - at_));
    at_ = end;
    if (is_float) return floating(token);
    int64_t v = 0;
    auto r = std::from_chars(token.data(), token.data() + token.size(), v);
    if (r.ec != std::errc() || r.ptr != token.data() + token.size()) return fail("bad number");
    return Expr(v);
  }

  Result<Expr> floating(const std::string& token) {
    DType type = token.back() == 'f' ? DType::kFloat32 : token.back() == 'd' ? DType::kFloat64 : DType::kUndefined;
    if (type == DType::kUndefined) return fail("a floating number ends in 'f' or 'd'");
    const char *first = token.data(), *last = first + token.size() - 1;
    double v = 0;
    if (type == DType::kFloat64) {
      auto r = std::from_chars(first, last, v);
      if (r.ec != std::errc() || r.ptr != last) return fail("bad number");
    } else {  // read as float32 at once: by way of double it would be rounded twice
      float f = 0;
      auto r = std::from_chars(first, last, f);
      if (r.ec != std::errc() || r.ptr != last) return fail("bad number");
      v = static_cast<double>(f);
    }
    return Expr::floating(type, v);
  }

  Result<Expr> name() {
    size_t end = at_;
    while (end < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[end])) || text_[end] == '_' || text_[end] == '.'))
      ++end;
    if (end == at_) return fail("expected a number, a name or '('");
    std::string_view word = text_.substr(at_, end - at_);
    at_ = end;
    if (word == "true" || word == "false") return Expr::boolean(word == "true");
    if (take('(')) return call(word);
    if (word == "inff" || word == "infd" || word == "nanf" || word == "nand") return floating(std::string(word));
    if (SymbolPtr s = symbols_(word)) return Expr(s);
    return fail(fmt::format("unknown symbol '{}'", word));
  }

  Result<Expr> call(std::string_view word) {
    std::vector<Expr> a;
    do {
      FOVEA_TRY_SET(Expr e, sum());
      a.push_back(e);
    } while (a.size() < 4 && take(','));
    if (!take(')')) return fail("expected ')'");
    auto type = dtype_from_string(word);
    if (type && a.size() == 1) {
      if (*type != DType::kInt64 && *type != DType::kFloat32 && *type != DType::kFloat64 && *type != DType::kBool)
        return fail("no cast to this type");
      return cast(a[0], *type);
    }
    for (const CallName& c : kCalls)
      if (c.name == word) return build(c, a);
    return fail(fmt::format("unknown function '{}'", word));
  }

  Result<Expr> build(const CallName& c, const std::vector<Expr>& a) {
    if (static_cast<int>(a.size()) != c.args) return fail(fmt::format("{} takes {} arguments", c.name, c.args));
    DType t = a[0].dtype();
    auto all = [&](DType want) {
      for (const Expr& e : a)
        if (e.dtype() != want) return false;
      return true;
    };
    switch (c.op) {
      case ExprOp::kMin:
      case ExprOp::kMax:
        if (!all(DType::kInt64)) return fail("expected int64 operands");
        return c.op == ExprOp::kMin ? min(a[0], a[1]) : max(a[0], a[1]);
      case ExprOp::kEq:
      case ExprOp::kLt:
      case ExprOp::kLe:
        if (!all(t)) return fail("operands differ in type");
        return c.op == ExprOp::kEq   ? equal(a[0], a[1])
               : c.op == ExprOp::kLt ? less(a[0], a[1])
                                     : less_equal(a[0], a[1]);
      case ExprOp::kAnd:
      case ExprOp::kOr:
      case ExprOp::kNot:
        if (!all(DType::kBool)) return fail("expected bool operands");
        return c.op == ExprOp::kAnd  ? logical_and(a[0], a[1])
               : c.op == ExprOp::kOr ? logical_or(a[0], a[1])
                                     : logical_not(a[0]);
      case ExprOp::kSelect:
        if (t != DType::kBool || a[1].dtype() != a[2].dtype()) return fail("select takes a bool and two of one type");
        return select(a[0], a[1], a[2]);
      default:
        if ((t != DType::kFloat32 && t != DType::kFloat64) || !all(t))
          return fail("expected floating operands of one type");
        return float_op(c.op, a);
    }
  }

  static constexpr int kMaxDepth = 200;
  static constexpr int64_t kMaxWeight = 1 << 14;  // more than any size that inference lets through
  std::string_view text_;
  const std::function<SymbolPtr(std::string_view)>& symbols_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

bool valid_symbol_name(std::string_view name) {
  if (name.empty() || name.size() > 200 || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (std::string_view word : {"true", "false", "inff", "infd", "nanf", "nand"})
    if (name == word) return false;
  for (char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.') return false;
  return true;
}

std::string Expr::str() const { return print(*this, 0); }

Result<Expr> parse_expr(std::string_view text, const std::function<SymbolPtr(std::string_view)>& symbols) {
  return Parser(text, symbols).whole();
}

}  // namespace fovea::core
