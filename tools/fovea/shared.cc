#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/file.h"
#include "verbs.h"

namespace fovea::core::tool {

namespace {
bool bar_on_screen = false;
}

void Progress::show(std::string_view what, int done, int total) {
  static const bool terminal = ::isatty(STDERR_FILENO) != 0;
  if (!terminal || total <= 0) return;
  const int percent = static_cast<int>(100LL * done / total);
  if (bar_on_screen && percent == last_ && what == last_what_) return;
  last_ = percent, last_what_ = what, bar_on_screen = true;
  constexpr int kWidth = 30;
  const int filled = percent * kWidth / 100;
  std::string bar(static_cast<size_t>(filled), '#');
  bar.resize(kWidth, ' ');
  std::fprintf(stderr, "\r\x1b[2K%s [%s] %3d%%", last_what_.c_str(), bar.c_str(), percent);
  std::fflush(stderr);
}

void Progress::clear() {
  if (bar_on_screen) std::fprintf(stderr, "\r\x1b[2K");
  bar_on_screen = false;
}

LogSink stderr_log(bool verbose) {
  return [verbose](LogLevel level, std::string_view text) {
    if (level != LogLevel::kWarning && !verbose) return;
    Progress::clear();
    std::fprintf(stderr, "fovea: %s%.*s\n", level == LogLevel::kWarning ? "warning: " : "",
                 static_cast<int>(text.size()), text.data());
  };
}

Status refuse_flags(const CLI::App& verb, std::initializer_list<const char*> flags, std::string_view why) {
  for (const char* flag : flags)
    if (verb.count(flag) > 0) return invalid_argument("{} {}", flag, why);
  return {};
}

Status make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return {};
  // As with files: a path that cannot be is the caller's mistake, a disk that fails is the system's.
  for (const std::errc mistake : {std::errc::file_exists, std::errc::not_a_directory, std::errc::permission_denied,
                                  std::errc::filename_too_long, std::errc::no_such_file_or_directory})
    if (error == mistake) return invalid_argument("{}: expected a folder to write to: {}", path, error.message());
  return system_error("{}: cannot make the folder: {}", path, error.message());
}

Status check_writable(const std::string& path) {
  std::error_code error;
  const auto kind = std::filesystem::status(path, error).type();
  using std::filesystem::file_type;
  // A pipe must not be opened and closed before its time.
  if (kind == file_type::fifo || kind == file_type::character || kind == file_type::block) return {};
  return FileWriter::create(path).status();  // uncommitted, it leaves nothing behind
}

std::string unused_name(const std::string& name, std::set<std::string>& used) {
  const std::filesystem::path path(name);
  std::string unused = name;
  for (int i = 2; !used.insert(unused).second; ++i)
    unused = fmt::format("{}_{}{}", path.stem().string(), i, path.extension().string());
  return unused;
}

Result<TensorInputs> read_inputs(const Graph& graph, const std::vector<std::string>& items) {
  TensorInputs in;
  in.arrays.resize(graph.inputs.size());
  std::vector<bool> given(graph.inputs.size());
  std::string names;
  for (const Value* v : graph.inputs) names += (names.empty() ? "" : ", ") + v->name;
  for (const std::string& item : items) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos) return invalid_argument("--input: expected NAME=FILE.npy, found '{}'", item);
    size_t i = 0;
    while (i < graph.inputs.size() && graph.inputs[i]->name != item.substr(0, equals)) ++i;
    if (i == graph.inputs.size())
      return invalid_argument("--input: the engine has no input '{}'; its inputs are: {}", item.substr(0, equals),
                              names);
    if (given[i]) return invalid_argument("--input: expected one tensor for '{}', found two", graph.inputs[i]->name);
    FOVEA_TRY_SET(in.arrays[i], read_npy(item.substr(equals + 1)));
    given[i] = true;
  }
  for (size_t i = 0; i < in.arrays.size(); ++i) {
    const Value& want = *graph.inputs[i];
    NpyArray& found = in.arrays[i];
    if (!given[i])
      return invalid_argument("input '{}' of {}{} is missing: give --input {}=FILE.npy", want.name,
                              to_string(want.dtype), to_string(want.shape), want.name);
    if (found.dtype != want.dtype)
      return invalid_argument("input '{}': expected {}, found {}", want.name, to_string(want.dtype),
                              to_string(found.dtype));
    if (found.shape.size() != want.shape.size())
      return invalid_argument("input '{}': expected shape {}, found [{}]", want.name, to_string(want.shape),
                              fmt::join(found.shape, ","));
    in.shapes.push_back(found.shape);
    in.refs.push_back(TensorRef::dense_of(found.dtype, found.shape, found.data.data()));
  }
  return in;
}

Status write_outputs(const std::string& folder, const Graph& graph, std::span<const TensorRef> outputs) {
  std::set<std::string> used;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorRef& r = outputs[i];
    const auto bytes = static_cast<size_t>(dtype_bytes(r.dtype, r.count()).value_or(0));
    // Output names are the model's and may hold separators: they name a file here, never a path.
    std::string name = graph.output_names[i] + ".npy";
    std::replace(name.begin(), name.end(), '/', '_');
    FOVEA_TRY(write_npy(folder + "/" + unused_name(name, used), r.dtype, r.shape(),
                        Bytes(static_cast<const std::byte*>(r.data), bytes)));
  }
  return {};
}

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Result<SymbolValues> parse_sizes(const std::string& text) {
  SymbolValues sizes;
  size_t at = 0;
  while (at <= text.size()) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    const size_t equals = item.find('=');
    int64_t value = 0;
    const char* first = item.data() + equals + 1;
    const char* last = item.data() + item.size();
    if (equals == std::string::npos || equals == 0 || std::from_chars(first, last, value).ptr != last ||
        first == last || value < 1)
      return invalid_argument("--shapes: expected NAME=SIZE[,NAME=SIZE...], found '{}'", text);
    sizes[item.substr(0, equals)] = value;
    at = end + 1;
  }
  return sizes;
}

}  // namespace fovea::core::tool
