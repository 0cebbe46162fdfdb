#include <algorithm>
#include <cmath>
#include <numeric>

#include "picture/toml_tree.h"

namespace fovea::core {
namespace {

std::string describe(const TomlNode& node) {
  struct Describe {
    std::string operator()(const TomlOther&) const { return "a date or time"; }
    std::string operator()(const std::string& s) const { return fmt::format("\"{}\"", s); }
    std::string operator()(int64_t i) const { return fmt::format("{}", i); }
    std::string operator()(double d) const { return fmt::format("{}", d); }
    std::string operator()(bool b) const { return b ? "true" : "false"; }
    std::string operator()(const TomlArray& a) const { return fmt::format("a list of {}", a.size()); }
    std::string operator()(const TomlTable&) const { return "a table"; }
  };
  return std::visit(Describe{}, node.value);
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      size_t substituted = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::string count_text(std::optional<size_t> count) { return count ? fmt::format("{} ", *count) : ""; }

}  // namespace

std::optional<std::string> nearest_word(std::string_view word, std::span<const std::string> candidates) {
  if (word.size() > 64) return std::nullopt;  // no slip, and the distance costs time
  const std::string* best = nullptr;
  size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    size_t distance = edit_distance(word, candidate);
    if (best && distance >= best_distance) continue;
    best = &candidate;
    best_distance = distance;
  }
  if (!best || best_distance > std::max<size_t>(2, best->size() / 3)) return std::nullopt;
  return *best;
}

TomlReader::TomlReader(const TomlNode& table, std::string path, std::string_view file_name)
    : node_(table), table_(std::get<TomlTable>(table.value)), path_(std::move(path)), file_name_(file_name) {}

const TomlNode* TomlReader::find(std::string_view key) const {
  for (const TomlNode& node : table_.entries)
    if (node.key == key) return &node;
  return nullptr;
}

const TomlNode* TomlReader::get(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  return find(key);
}

std::string TomlReader::where(std::string_view key) const {
  const TomlNode* node = find(key);
  return fmt::format("{}:{}: {}{}{}", file_name_, node ? node->line : node_.line, path_, path_.empty() ? "" : ".", key);
}

void TomlReader::complain(std::string_view key, std::string_view text) {
  take(invalid_argument("{}: {}", where(key), text));
}

void TomlReader::take(Status status) {
  if (first_.ok()) first_ = std::move(status);
}

void TomlReader::wrong(std::string_view key, std::string_view expected, const TomlNode& found) {
  complain(key, fmt::format("expected {}, found {}", expected, describe(found)));
}

void TomlReader::string(std::string_view key, std::string& value) {
  const TomlNode* node = get(key);
  if (!node) return;
  const auto* s = std::get_if<std::string>(&node->value);
  if (!s || s->empty()) return wrong(key, "a string that is not empty", *node);
  value = *s;
}

void TomlReader::boolean(std::string_view key, bool& value) {
  const TomlNode* node = get(key);
  if (!node) return;
  const auto* b = std::get_if<bool>(&node->value);
  if (!b) return wrong(key, "true or false", *node);
  value = *b;
}

void TomlReader::integer(std::string_view key, int64_t& value, int64_t lowest, int64_t highest) {
  const TomlNode* node = get(key);
  if (!node) return;
  const auto* i = std::get_if<int64_t>(&node->value);
  if (!i || *i < lowest || *i > highest) return wrong(key, fmt::format("an integer in {}..{}", lowest, highest), *node);
  value = *i;
}

bool TomlReader::to_number(std::string_view key, const TomlNode& node, std::string_view expected, double& value) {
  if (const auto* i = std::get_if<int64_t>(&node.value)) value = static_cast<double>(*i);
  else if (const auto* d = std::get_if<double>(&node.value); d && std::isfinite(*d)) value = *d;
  else return wrong(key, expected, node), false;
  return true;
}

void TomlReader::number(std::string_view key, double& value, double lowest, double highest) {
  const TomlNode* node = get(key);
  if (!node) return;
  std::string expected = fmt::format("a number in {}..{}", lowest, highest);
  double number = 0;
  if (!to_number(key, *node, expected, number)) return;
  if (number < lowest || number > highest) return wrong(key, expected, *node);
  value = number;
}

const TomlArray* TomlReader::list(std::string_view key, std::string_view what, std::optional<size_t> count) {
  const TomlNode* node = get(key);
  if (!node) return nullptr;
  const auto* array = std::get_if<TomlArray>(&node->value);
  if (array && (count ? array->size() == *count : !array->empty())) return array;
  wrong(key, fmt::format("a list of {}{}", count_text(count), what), *node);
  return nullptr;
}

void TomlReader::numbers(std::string_view key, std::vector<double>& value, std::optional<size_t> count, double lowest,
                         double highest) {
  const TomlArray* array = list(key, "numbers", count);
  if (!array) return;
  std::vector<double> read(array->size());
  std::string expected = fmt::format("a list of {}numbers in {}..{}", count_text(count), lowest, highest);
  for (size_t i = 0; i < read.size(); ++i) {
    if (!to_number(key, (*array)[i], expected, read[i])) return;
    if (read[i] < lowest || read[i] > highest) return wrong(key, expected, (*array)[i]);
  }
  value = std::move(read);
}

void TomlReader::integers(std::string_view key, std::vector<int64_t>& value, std::optional<size_t> count,
                          int64_t lowest, int64_t highest) {
  const TomlArray* array = list(key, "integers", count);
  if (!array) return;
  std::vector<int64_t> read;
  for (const TomlNode& item : *array) {
    const auto* i = std::get_if<int64_t>(&item.value);
    if (!i || *i < lowest || *i > highest)
      return wrong(key, fmt::format("a list of {}integers in {}..{}", count_text(count), lowest, highest), item);
    read.push_back(*i);
  }
  value = std::move(read);
}

void TomlReader::strings(std::string_view key, std::vector<std::string>& value) {
  const TomlArray* array = list(key, "strings", std::nullopt);
  if (!array) return;
  std::vector<std::string> read;
  for (const TomlNode& item : *array) {
    const auto* s = std::get_if<std::string>(&item.value);
    if (!s) return wrong(key, "a list of strings", item);
    read.push_back(*s);
  }
  value = std::move(read);
}

void TomlReader::number_or_numbers(std::string_view key, std::vector<double>& value) {
  const TomlNode* node = get(key);
  if (!node) return;
  if (std::holds_alternative<TomlArray>(node->value)) return numbers(key, value, std::nullopt, -1e300, 1e300);
  double number = 0;
  if (to_number(key, *node, "a number or a list of numbers", number)) value = {number};
}

std::optional<int> TomlReader::choice_index(std::string_view key, std::span<const std::string_view> names) {
  const TomlNode* node = get(key);
  if (!node) return std::nullopt;
  const auto* s = std::get_if<std::string>(&node->value);
  auto it = s ? std::find(names.begin(), names.end(), *s) : names.end();
  if (it != names.end()) return static_cast<int>(it - names.begin());
  std::vector<std::string> words(names.begin(), names.end());
  std::string text = fmt::format("expected \"{}\", found {}", fmt::join(words, "\" or \""), describe(*node));
  if (auto near = s ? nearest_word(*s, words) : std::nullopt) text += fmt::format("; did you mean \"{}\"?", *near);
  complain(key, text);
  return std::nullopt;
}

const TomlNode* TomlReader::table(std::string_view key) {
  const TomlNode* node = get(key);
  if (!node || std::holds_alternative<TomlTable>(node->value)) return node;
  wrong(key, fmt::format("a section [{}]", key), *node);
  return nullptr;
}

std::span<const TomlNode> TomlReader::tables(std::string_view key) {
  const TomlNode* node = get(key);
  if (!node) return {};
  const auto* array = std::get_if<TomlArray>(&node->value);
  auto is_table = [](const TomlNode& item) { return std::holds_alternative<TomlTable>(item.value); };
  if (array && std::all_of(array->begin(), array->end(), is_table)) return *array;
  wrong(key, fmt::format("sections [[{}]]", key), *node);
  return {};
}

void TomlReader::require(std::string_view key, std::string_view what) {
  if (!get(key)) complain(key, fmt::format("missing; expected {}", what));
}

void TomlReader::refuse(std::string_view key, std::string_view where) {
  if (get(key)) complain(key, fmt::format("has no meaning {}", where));
}

Status TomlReader::unknown_key() const {
  for (const TomlNode& node : table_.entries) {
    if (std::find(known_.begin(), known_.end(), node.key) != known_.end()) continue;
    const std::string what = path_.empty() ? "unknown section or key" : "unknown key";
    const auto near = nearest_word(node.key, known_);
    if (near) return invalid_argument("{}: {}; did you mean '{}'?", where(node.key), what, *near);
    return invalid_argument("{}: {}; expected one of: {}", where(node.key), what, fmt::join(known_, ", "));
  }
  return {};
}

Status TomlReader::finish() {
  FOVEA_TRY(unknown_key());
  return first_;
}

}  // namespace fovea::core
