// Inside src/picture: a TOML document as plain values that know their line, and a reader of its tables that knows how
// to complain. Keeps toml++ inside one file.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace fovea::core {

struct TomlNode;
using TomlArray = std::vector<TomlNode>;
struct TomlTable {
  std::vector<TomlNode> entries;
};
struct TomlOther {};  // dates and times, which no card needs

struct TomlNode {
  int64_t line = 1;
  std::string key;  // of an entry of a table
  std::variant<TomlOther, std::string, int64_t, double, bool, TomlArray, TomlTable> value;
};

// InvalidArgument with line and column where the text is no TOML. The root holds a table.
Result<TomlNode> parse_toml(std::string_view text, std::string_view file_name);

// One table. Every read names a key, which is known from then on; a key that is absent leaves its variable alone. The
// first complaint is kept; finish() returns it, but an unknown key goes first: a misspelled key is why another is
// missing.
class TomlReader {
 public:
  // `path` is the table's name in messages: "picture", "inputs[1]", "" for the root.
  TomlReader(const TomlNode& table, std::string path, std::string_view file_name);

  bool has(std::string_view key) const { return find(key) != nullptr; }
  void string(std::string_view key, std::string& value);
  void boolean(std::string_view key, bool& value);
  void integer(std::string_view key, int64_t& value, int64_t lowest, int64_t highest);
  void number(std::string_view key, double& value, double lowest, double highest);
  // Lists; `count` entries if given, else at least one.
  void numbers(std::string_view key, std::vector<double>& value, std::optional<size_t> count, double lowest,
               double highest);
  void integers(std::string_view key, std::vector<int64_t>& value, std::optional<size_t> count, int64_t lowest,
                int64_t highest);
  void strings(std::string_view key, std::vector<std::string>& value);
  void number_or_numbers(std::string_view key, std::vector<double>& value);

  // One of a few words; E has to_string, and its values are 0..count-1.
  template <typename E>
  void choice(std::string_view key, E& value, int count) {
    std::vector<std::string_view> names;
    names.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) names.push_back(to_string(static_cast<E>(i)));
    if (auto index = choice_index(key, names)) value = static_cast<E>(*index);
  }

  const TomlNode* table(std::string_view key);             // null where absent or wrong
  std::span<const TomlNode> tables(std::string_view key);  // [[key]]

  void require(std::string_view key, std::string_view what);  // complains if absent
  // Complains if present where it means nothing: "has no meaning " + where, such as "with resize = \"none\"".
  void refuse(std::string_view key, std::string_view where);
  void refuse_unless(bool allowed, std::string_view key, std::string_view where) {
    if (!allowed) refuse(key, where);
  }
  void complain(std::string_view key, std::string_view text);
  void take(Status status);  // another reader's complaint

  Status finish();

 private:
  const TomlNode* find(std::string_view key) const;
  const TomlNode* get(std::string_view key);  // and remembers the key
  std::string where(std::string_view key) const;
  void wrong(std::string_view key, std::string_view expected, const TomlNode& found);
  std::optional<int> choice_index(std::string_view key, std::span<const std::string_view> names);
  bool to_number(std::string_view key, const TomlNode& node, std::string_view expected, double& value);
  const TomlArray* list(std::string_view key, std::string_view what, std::optional<size_t> count);
  Status unknown_key() const;

  const TomlNode& node_;
  const TomlTable& table_;
  std::string path_;
  std::string_view file_name_;
  std::vector<std::string> known_;
  Status first_;
};

// The candidate nearest to `word` by edit distance, if near enough to be a slip.
std::optional<std::string> nearest_word(std::string_view word, std::span<const std::string> candidates);

}  // namespace fovea::core
