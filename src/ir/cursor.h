// A place in a text that is being parsed: characters, words, numbers, and errors with line and column.
#pragma once

#include <charconv>
#include <functional>
#include <string>
#include <string_view>

#include "ir/expr.h"

namespace fovea::core {

class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  Status fail(std::string_view what) const { return fail_at(at_, what); }
  Status fail_at(size_t at, std::string_view what) const;  // "line 3:14: what"

  size_t at() { return skip(), at_; }  // offset of the next token
  bool done() { return at() == text_.size(); }
  char peek() { return done() ? '\0' : text_[at_]; }
  bool take(std::string_view s);       // if it comes next
  bool take_word(std::string_view s);  // if it comes next and is not the beginning of a longer word
  Status expect(std::string_view s);
  std::string_view word();     // letters, digits and '_'; empty if something else comes
  Result<std::string> name();  // bare or quoted, as behind '%' and '@'
  Result<std::string> quoted();
  std::string_view number();  // what looks like one, inf and nan included
  template <typename T>
  Result<T> number_as();
  // A size: up to the first of ",]})>" outside its own parentheses.
  Result<Expr> expr(const std::function<SymbolPtr(std::string_view)>& symbols);

 private:
  void skip();  // blanks and comments

  std::string_view text_;
  size_t at_ = 0;
};

template <typename T>
Result<T> Cursor::number_as() {
  const size_t start = at();
  const std::string_view s = number();
  T v{};
  auto r = std::from_chars(s.data(), s.data() + s.size(), v);
  // A float too small for its type is a denormal or zero already: only what std::from_chars calls out of range fails.
  if (s.empty() || r.ec != std::errc() || r.ptr != s.data() + s.size())
    return fail_at(start, fmt::format("'{}' is not a number of this type", s.substr(0, 40)));
  return v;
}

}  // namespace fovea::core
