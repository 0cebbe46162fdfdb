#include "picture/toml_tree.h"

// The whole parser in this file, without exceptions: the distribution's shared library has only the throwing one.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace fovea {
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
    out.entries.emplace_back(std::string(key.str()), convert(item));
    // A value may begin on a later line than its key; people look for the key.
    if (!item.is_table() && key.source().begin.line) out.entries.back().second.line = key.source().begin.line;
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

}  // namespace

Result<TomlNode> parse_toml(std::string_view text, std::string_view file_name) {
  toml::parse_result result = toml::parse(text);
  if (result.failed()) {
    const toml::parse_error& error = result.error();
    return invalid_argument("{}:{}:{}: expected TOML: {}", file_name, error.source().begin.line, error.source().begin.column,
                            error.description());
  }
  return convert(result.table());
}

}  // namespace fovea
