#include "picture/toml_tree.h"

#include <algorithm>
#include <vector>

// The whole parser in this file, without exceptions: the distribution's shared library has only the throwing one. Its
// assertions fail on some malformed text ("[=") and stand before real hazards, so they stay on, release builds
// included, and throw what only this file catches.
namespace {
struct TomlAssertion {};
[[noreturn]] void assertion_failed() { throw TomlAssertion{}; }
}  // namespace
#undef NDEBUG
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : assertion_failed())
#include <toml++/impl/forward_declarations.h>
#include <toml++/impl/preprocessor.h>
// Its tables of white space promise the compiler that some letters cannot occur ("\u00c3" outside a string), which is
// undefined behaviour in 3.3; they are no white space. Broken promises elsewhere are assertions.
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE return false
#include <toml++/impl/unicode.h>
#undef TOML_UNREACHABLE
#define TOML_UNREACHABLE assertion_failed()
#include <toml++/toml.h>

namespace fovea::core {
namespace {

TomlNode convert(const toml::node& node);

TomlArray convert_array(const toml::array& array) {
  TomlArray out;
  for (const toml::node& item : array) out.push_back(convert(item));
  return out;
}

TomlTable convert_table(const toml::table& table) {
  TomlTable out;
  for (auto&& [key, item] : table) {
    TomlNode& entry = out.entries.emplace_back(convert(item));
    entry.key = key.str();
    // A value may begin on a later line than its key; people look for the key.
    if (!item.is_table() && key.source().begin.line) entry.line = key.source().begin.line;
  }
  return out;
}

TomlNode convert(const toml::node& node) {
  TomlNode out;
  if (node.source().begin.line) out.line = node.source().begin.line;
  if (auto* s = node.as_string()) out.value = s->get();
  else if (auto* i = node.as_integer()) out.value = i->get();
  else if (auto* f = node.as_floating_point()) out.value = f->get();
  else if (auto* b = node.as_boolean()) out.value = b->get();
  else if (auto* a = node.as_array()) out.value = convert_array(*a);
  else if (auto* t = node.as_table()) out.value = convert_table(*t);
  return out;
}

bool fails_assertion(std::string_view text) {
  try {
    return static_cast<void>(toml::parse(text)), false;
  } catch (const TomlAssertion&) {
    return true;
  }
}

// An assertion does not say where; the shortest run of lines that still fails does.
size_t line_of_assertion(std::string_view text) {
  std::vector<size_t> ends;  // of the first line, the first two, ...
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n' || i + 1 == text.size()) ends.push_back(i + 1);
  auto passes = [text](size_t end) { return !fails_assertion(text.substr(0, end)); };
  return static_cast<size_t>(std::partition_point(ends.begin(), ends.end(), passes) - ends.begin()) + 1;
}

Result<TomlNode> parse(std::string_view text, std::string_view file_name) {
  toml::parse_result result = toml::parse(text);
  if (result.failed()) {
    const toml::parse_error& error = result.error();
    return invalid_argument("{}:{}:{}: expected TOML: {}", file_name, error.source().begin.line,
                            error.source().begin.column, error.description());
  }
  return convert(result.table());
}

}  // namespace

Result<TomlNode> parse_toml(std::string_view text, std::string_view file_name) {
  try {
    return parse(text, file_name);
  } catch (const TomlAssertion&) {
    return invalid_argument("{}:{}: expected TOML: malformed key or value", file_name, line_of_assertion(text));
  }
}

}  // namespace fovea::core
