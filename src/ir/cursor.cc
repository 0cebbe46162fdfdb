#include "ir/cursor.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "ir/text.h"

namespace fovea::core {
namespace {

constexpr size_t kMaxExprText = size_t{1} << 16;

bool word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool number_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '-' || c == '.'; }

}  // namespace

Status Cursor::fail_at(size_t at, std::string_view what) const {
  const std::string_view before = text_.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t newline = before.rfind('\n');
  const size_t column = newline == std::string_view::npos ? at + 1 : at - newline;
  return invalid_model("line {}:{}: {}", line, column, what);
}

void Cursor::skip() {
  while (at_ < text_.size()) {
    if (text_[at_] == '#') at_ = std::min(text_.find('\n', at_), text_.size());
    else if (std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    else break;
  }
}

bool Cursor::take(std::string_view s) {
  skip();
  if (text_.substr(at_, s.size()) != s) return false;
  at_ += s.size();
  return true;
}

bool Cursor::take_word(std::string_view s) {
  skip();
  const size_t end = at_ + s.size();
  if (text_.substr(at_, s.size()) != s || (end < text_.size() && word_char(text_[end]))) return false;
  at_ = end;
  return true;
}

Status Cursor::expect(std::string_view s) {
  if (take(s)) return {};
  return fail(fmt::format("expected '{}'", s));
}

std::string_view Cursor::word() {
  skip();
  const size_t start = at_;
  while (at_ < text_.size() && word_char(text_[at_])) ++at_;
  return text_.substr(start, at_ - start);
}

Result<std::string> Cursor::name() {
  if (peek() == '"') return quoted();
  const size_t start = at_;
  while (at_ < text_.size() && text_detail::bare_name(text_.substr(at_, 1))) ++at_;
  if (start == at_) return fail("expected a name");
  return std::string(text_.substr(start, at_ - start));
}

Result<std::string> Cursor::quoted() {
  const size_t start = at();
  FOVEA_TRY(expect("\""));
  std::string s;
  while (at_ < text_.size() && text_[at_] != '"') {
    char c = text_[at_++];
    if (c == '\\' && at_ < text_.size()) {
      c = text_[at_++];
      if (c == 'n') c = '\n';
      if (c == 'x') {
        unsigned v = 0;
        const char* digits = text_.data() + at_;
        if (text_.size() - at_ < 2 || std::from_chars(digits, digits + 2, v, 16).ptr != digits + 2)
          return fail("expected two hexadecimal digits");
        at_ += 2;
        c = static_cast<char>(v);
      }
    }
    s += c;
  }
  if (at_ >= text_.size()) return fail_at(start, "the quotes are never closed");
  ++at_;
  return s;
}

std::string_view Cursor::number() {
  skip();
  const size_t start = at_;
  while (at_ < text_.size() && number_char(text_[at_])) ++at_;
  return text_.substr(start, at_ - start);
}

Result<Expr> Cursor::expr(const std::function<SymbolPtr(std::string_view)>& symbols) {
  const size_t start = at();
  int depth = 0;
  size_t end = start;
  for (; end < text_.size() && end - start <= kMaxExprText; ++end) {
    const char c = text_[end];
    if (c == '(') ++depth;
    else if (depth == 0 && std::strchr(",]})>", c)) break;
    else if (c == ')') --depth;
  }
  if (end - start > kMaxExprText) return fail("a size is written longer than is allowed");
  auto e = parse_expr(text_.substr(start, end - start), symbols);
  if (!e.ok()) return fail(e.status().message());
  at_ = end;
  return e;
}

}  // namespace fovea::core
