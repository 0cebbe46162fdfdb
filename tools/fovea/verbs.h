// The verbs of the command line, one file each; and what they share.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "base/log.h"
#include "base/status.h"
#include "picture/inputs.h"
#include "picture/npy.h"
#include "runtime/loaded_engine.h"

namespace fovea::core::tool {

// Adds the verb to the command line; its callback sets `action`, which main() runs.
using Action = std::function<Status()>;
void add_compile(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_profile(CLI::App& app, Action& action);

struct Turns {
  std::string engine, device, output;  // output: folder for the first run's, or empty
  std::vector<std::string> inputs;
  int threads = 0;
  bool verbose = false;
};
Status take_turns(const Turns& o);  // bench --turns

// A progress bar on stderr, drawn only where stderr is a terminal. Several threads may write to stderr.
class Progress {
 public:
  void show(std::string_view what, int done, int total);
  static void clear();  // whichever is there; before anything else is printed
  ~Progress() { clear(); }

 private:
  int last_ = -1;
  std::string last_what_;
};

// Messages go to stderr: warnings always, the rest with --verbose.
LogSink stderr_log(bool verbose);

// InvalidArgument for the first of the flags that was given: what a mode does not read is not ignored.
Status refuse_flags(const CLI::App& verb, std::initializer_list<const char*> flags, std::string_view why);

// --device: 'cpu' or a name like 'cuda:0'; with `several` a list of them, separated by commas.
void add_device(CLI::App& verb, std::string& device, bool several = false);
Result<std::shared_ptr<Device>> open_one_device(const std::string& name);  // null: the processor
// The engine on each of the devices, which share the processor's cores unless `threads` are given.
using Engines = std::vector<std::shared_ptr<LoadedEngine>>;
Result<Engines> open_engines(const std::string& path, const std::string& devices, int threads, bool verbose);
// For verbs and modes that use one.
Result<std::shared_ptr<LoadedEngine>> open_engine(const std::string& path, const std::string& device, int threads,
                                                  bool verbose);

// The tensors that NAME=FILE.npy items give for a graph's inputs, each checked against its input.
struct TensorInputs {
  std::vector<NpyArray> arrays;
  std::vector<std::vector<int64_t>> shapes;
  std::vector<TensorRef> refs;  // into arrays
};
Result<TensorInputs> read_inputs(const Graph& graph, const std::vector<std::string>& items);
Status write_outputs(const std::string& folder, const Graph& graph, std::span<const TensorRef> outputs);  // NAME.npy
// Folders stand for the pictures in them, in order of their names.
Result<std::vector<std::string>> picture_files(const std::vector<std::string>& paths);
std::string lower_extension(const std::filesystem::path& path);
Status make_folder(const std::string& path);
// Can a file be written there? Asked before long work that ends with it.
Status check_writable(const std::string& path);
// `name`, or where it was used already name_2, name_3, ..., its extension kept.
std::string unused_name(const std::string& name, std::set<std::string>& used);

double now_ms();

// "n=8" or "n=1,h=300" -> sizes.
Result<SymbolValues> parse_sizes(const std::string& text);

// The sizes of a run.
struct RunSizes {
  std::optional<ModelCard> card;
  SymbolValues symbols;
  Sizes sizes;
  int64_t batch = 1;
  const ModelCard* card_or_null() const { return card ? &*card : nullptr; }
};
// On inputs made up: of --shapes and --batch (0: not given), which may not contradict the engine or each other, and the
// usual ones for the rest.
Result<RunSizes> choose_sizes(LoadedEngine& engine, const std::vector<std::string>& shapes, int64_t batch);
// On tensors that --input gave.
Result<RunSizes> sizes_of(LoadedEngine& engine, const TensorInputs& given);
inline constexpr std::string_view kSizesOfFiles = "means nothing with --input, whose files have their sizes";

}  // namespace fovea::core::tool
