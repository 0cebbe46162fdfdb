#include <cstdio>
#include <filesystem>

#include "picture/npy.h"
#include "runtime/loaded_engine.h"
#include "verbs.h"

namespace fovea::tool {
namespace {

struct Options {
  std::string engine, output;
  std::vector<std::string> inputs;
  int threads = 0;
  bool check = false, verbose = false;
};

Status run_tensors(const Options& o) {
  LoadOptions load;
  load.threads = o.threads, load.log = stderr_log(o.verbose);
  FOVEA_TRY_SET(auto engine, LoadedEngine::open(o.engine, load));
  const Graph& graph = engine->main().graph();
  std::vector<NpyArray> arrays(graph.inputs.size());
  std::vector<bool> given(graph.inputs.size());
  for (const std::string& item : o.inputs) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos) return invalid_argument("--input: expected NAME=FILE.npy, found '{}'", item);
    size_t i = 0;
    std::string names;
    for (; i < graph.inputs.size() && graph.inputs[i]->name != item.substr(0, equals); ++i) names += (i ? ", " : "") + graph.inputs[i]->name;
    if (i == graph.inputs.size()) return invalid_argument("--input: the engine has no input '{}'; its inputs are: {}", item.substr(0, equals), names);
    FOVEA_TRY_SET(arrays[i], read_npy(item.substr(equals + 1)));
    given[i] = true;
  }
  std::vector<std::vector<int64_t>> shapes;
  std::vector<TensorRef> in;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Value& want = *graph.inputs[i];
    if (!given[i]) return invalid_argument("input '{}' of {}{} is missing: give --input {}=FILE.npy", want.name, to_string(want.dtype), to_string(want.shape), want.name);
    if (arrays[i].dtype != want.dtype) return invalid_argument("input '{}': expected {}, found {}", want.name, to_string(want.dtype), to_string(arrays[i].dtype));
    shapes.push_back(arrays[i].shape);
    if (arrays[i].shape.size() > kMaxRank) return invalid_argument("input '{}': expected shape {}, found rank {}", want.name, to_string(want.shape), arrays[i].shape.size());
    in.push_back(TensorRef::dense_of(arrays[i].dtype, arrays[i].shape, arrays[i].data.data()));
  }
  FOVEA_TRY_SET(auto spec, engine->main().specialise(shapes, engine->threads()));
  Executor executor;
  executor.check_finite = o.check;
  FOVEA_TRY(executor.bind(spec));
  std::vector<TensorRef> out(graph.outputs.size());
  FOVEA_TRY(executor.run(in, out));
  std::error_code ec;
  std::filesystem::create_directories(o.output, ec);
  for (size_t i = 0; i < out.size(); ++i) {
    NpyArray a;
    a.dtype = out[i].dtype;
    a.shape.assign(out[i].shape().begin(), out[i].shape().end());
    const auto* p = static_cast<const std::byte*>(out[i].data);
    a.data.assign(p, p + dtype_bytes(out[i].dtype, out[i].count()).value_or(0));
    FOVEA_TRY(write_npy(o.output + "/" + graph.output_names[i] + ".npy", a));
  }
  return {};
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("run", "Run an engine on pictures or on tensors");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_option("--input", o->inputs, "A tensor for an input; one for each")->type_name("NAME=FILE.npy");
  verb->add_option("--output", o->output, "Folder for the outputs, written as NAME.npy")->type_name("DIR");
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::PositiveNumber);
  verb->add_flag("--check", o->check, "Stop at the first kernel that gives NaN or infinity, and name its ONNX node");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, &action] { action = [o] { return run_tensors(*o); }; });
}

}  // namespace fovea::tool
