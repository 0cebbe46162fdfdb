#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <mutex>

#include <fmt/ranges.h>

#include "base/file.h"
#include "base/parallel.h"
#include "verbs.h"

namespace fovea::core::tool {

namespace {

std::mutex screen;
bool bar_on_screen = false;

void clear_bar() {
  if (bar_on_screen) std::fprintf(stderr, "\r\x1b[2K");
  bar_on_screen = false;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> items;
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    items.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return items;
}

Result<std::shared_ptr<Device>> open_named(const std::string& name) {
  if (name == "cpu") return std::shared_ptr<Device>();
  if (!parse_device_name(name))
    return invalid_argument("--device: expected 'cpu' or a name like 'cuda:0', found '{}'", name);
  auto device = open_device(name);
  if (!device.ok()) return device.status().in("--device " + name);
  return device;
}

}  // namespace

void Progress::show(std::string_view what, int done, int total) {
  static const bool terminal = ::isatty(STDERR_FILENO) != 0;
  if (!terminal || total <= 0) return;
  const int percent = static_cast<int>(100LL * done / total);
  std::lock_guard lock(screen);
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
  std::lock_guard lock(screen);
  clear_bar();
}

LogSink stderr_log(bool verbose) {
  return [verbose](LogLevel level, std::string_view text) {
    if (level != LogLevel::kWarning && !verbose) return;
    std::lock_guard lock(screen);
    clear_bar();
    std::fprintf(stderr, "fovea: %s%.*s\n", level == LogLevel::kWarning ? "warning: " : "",
                 static_cast<int>(text.size()), text.data());
  };
}

Status refuse_flags(const CLI::App& verb, std::initializer_list<const char*> flags, std::string_view why) {
  for (const char* flag : flags)
    if (verb.count(flag) > 0) return invalid_argument("{} {}", flag, why);
  return {};
}

void add_device(CLI::App& verb, std::string& device, bool several) {
  device = "cpu";
  verb.add_option("--device", device,
                  several ? "Where to run: cpu, cuda:0, or several: cuda:0,cuda:1; cpu if not given"
                          : "Where to run: cpu or cuda:0; cpu if not given")
      ->type_name(several ? "DEVICE[,DEVICE...]" : "DEVICE");
}

Result<std::shared_ptr<Device>> open_one_device(const std::string& name) {
  if (name.find(',') != std::string::npos) return invalid_argument("--device: expected one device, found '{}'", name);
  return open_named(name);
}

Result<Engines> open_engines(const std::string& path, const std::string& devices, int threads, bool verbose) {
  const std::vector<std::string> names = split(devices);
  Engines engines;
  for (const std::string& name : names) {
    LoadOptions load;
    FOVEA_TRY_SET(load.device, open_named(name));
    load.threads =
        threads > 0 || names.size() == 1 ? threads : std::max(1, hardware_threads() / static_cast<int>(names.size()));
    load.log = stderr_log(verbose);
    FOVEA_TRY_SET(auto engine, LoadedEngine::open(path, load));
    engines.push_back(std::move(engine));
  }
  return engines;
}

Result<std::shared_ptr<LoadedEngine>> open_engine(const std::string& path, const std::string& device, int threads,
                                                  bool verbose) {
  LoadOptions load;
  FOVEA_TRY_SET(load.device, open_one_device(device));
  load.threads = threads, load.log = stderr_log(verbose);
  return LoadedEngine::open(path, load);
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

namespace {

// --batch may not contradict the engine or --shapes.
Status check_batch(int64_t batch, const Dim* axis, const SymbolValues& shapes) {
  if (!axis && batch != 1)
    return invalid_argument("--batch {}: expected 1: no input of the engine has a batch axis", batch);
  if (!axis) return {};
  if (batch < axis->lo() || batch > axis->hi())
    return invalid_argument("--batch {}: the engine takes {} to {}", batch, axis->lo(), axis->hi());
  const auto given = axis->op() == ExprOp::kSymbol ? shapes.find(axis->symbol()->name) : shapes.end();
  if (given != shapes.end() && given->second != batch)
    return invalid_argument("--batch {}: --shapes says {}={}", batch, given->first, given->second);
  return {};
}

Result<std::optional<ModelCard>> card_of(const LoadedEngine& engine) {
  if (engine.data().card.empty()) return std::optional<ModelCard>();
  FOVEA_TRY_SET(ModelCard card, parse_card(engine.data().card, "the engine's card"));
  return std::optional(std::move(card));
}

Result<RunSizes> run_sizes(const Graph& graph, std::optional<ModelCard> card, SymbolValues symbols) {
  const Dim* axis = batch_axis(graph, card ? &*card : nullptr);
  FOVEA_TRY_SET(Sizes sizes, Sizes::make(graph, symbols));
  const int64_t pictures = axis ? sizes.upper(*axis) : 1;
  return RunSizes{std::move(card), std::move(symbols), std::move(sizes), pictures};
}

}  // namespace

Result<RunSizes> choose_sizes(LoadedEngine& engine, const std::vector<std::string>& shapes, int64_t batch) {
  const Graph& graph = engine.main().graph();
  FOVEA_TRY_SET(std::optional<ModelCard> card, card_of(engine));
  SymbolValues symbols;
  for (const std::string& s : shapes) {
    FOVEA_TRY_SET(SymbolValues given, parse_sizes(s));
    symbols.insert(given.begin(), given.end());
  }
  const ModelCard* c = card ? &*card : nullptr;
  if (batch > 0) FOVEA_TRY(check_batch(batch, batch_axis(graph, c), symbols));
  add_usual_sizes(graph, c, std::max<int64_t>(batch, 1), symbols);
  return run_sizes(graph, std::move(card), std::move(symbols));
}

Result<RunSizes> sizes_of(LoadedEngine& engine, const TensorInputs& given) {
  const Graph& graph = engine.main().graph();
  FOVEA_TRY_SET(SymbolValues symbols, bind_inputs(graph, given.shapes));
  FOVEA_TRY_SET(std::optional<ModelCard> card, card_of(engine));
  return run_sizes(graph, std::move(card), std::move(symbols));
}

}  // namespace fovea::core::tool
