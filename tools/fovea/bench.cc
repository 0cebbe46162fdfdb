#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <random>

#include "runtime/loaded_engine.h"
#include "verbs.h"

namespace fovea::tool {
namespace {

struct Options {
  std::string engine;
  int64_t batch = 1;
  int threads = 0, seconds = 5;
  bool profile = false, verbose = false;
};

double now_ms() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Status run(const Options& o) {
  LoadOptions load;
  load.threads = o.threads, load.log = stderr_log(o.verbose);
  FOVEA_TRY_SET(auto engine, LoadedEngine::open(o.engine, load));
  const Graph& graph = engine->main().graph();
  SymbolValues sizes;
  for (const SymbolPtr& s : graph.symbols())
    if (!s->data_dependent) sizes[s->name] = std::clamp(o.batch, s->lo, s->hi);
  FOVEA_TRY_SET(auto spec, engine->main().specialise(sizes, engine->threads()));
  FOVEA_TRY_SET(Sizes concrete, Sizes::make(graph, sizes));
  std::vector<std::shared_ptr<Tensor>> data;
  std::vector<TensorRef> in, out(graph.outputs.size());
  std::mt19937 random(1);
  for (const Value* v : graph.inputs) {
    FOVEA_TRY_SET(auto t, Tensor::allocate(v->dtype, concrete.upper(v->shape)));
    if (v->dtype == DType::kFloat32)
      for (int64_t i = 0; i < t->count(); ++i) reinterpret_cast<float*>(t->mutable_data())[i] = std::normal_distribution<float>()(random);
    data.push_back(t);
    in.push_back(TensorRef::dense_of(v->dtype, t->dims(), t->mutable_data()));
  }
  Executor executor;
  FOVEA_TRY(executor.bind(spec));
  for (int i = 0; i < 3; ++i) FOVEA_TRY(executor.run(in, out));
  std::map<std::string, std::pair<double, int>> by_kernel;
  if (o.profile)
    executor.observer = [&](const StepEvent& e) {
      std::string key(e.kernel);
      if (e.group && e.kernel == "reference") key += ":" + std::string(e.group->nodes[0]->op->name);
      auto& [ms, count] = by_kernel[key];
      ms += static_cast<double>(e.end_ns - e.begin_ns) / 1e6, ++count;
    };
  std::vector<double> times;
  const double start = now_ms();
  while (times.size() < 5 || now_ms() - start < o.seconds * 1e3) {
    const double begin = now_ms();
    FOVEA_TRY(executor.run(in, out));
    times.push_back(now_ms() - begin);
  }
  std::sort(times.begin(), times.end());
  std::printf("median %.2f ms  min %.2f  (%zu runs)  arena %.1f MB\n", times[times.size() / 2], times[0], times.size(), static_cast<double>(executor.arena_bytes()) / 1e6);
  for (const auto& [kernel, t] : by_kernel)
    std::printf("  %-32s %9.3f ms  %4zu calls\n", kernel.c_str(), t.first / static_cast<double>(times.size()), static_cast<size_t>(t.second) / times.size());
  return {};
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("bench", "Measure an engine");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_option("--batch", o->batch, "Pictures in a run")->check(CLI::PositiveNumber);
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::PositiveNumber);
  verb->add_option("--seconds", o->seconds, "How long to measure")->check(CLI::PositiveNumber);
  verb->add_flag("--profile", o->profile, "Time by kernel");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, &action] { action = [o] { return run(*o); }; });
}

}  // namespace fovea::tool
