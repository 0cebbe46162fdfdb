#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

struct Options {
  std::string engine, device, json, output, memory = "pageable";
  std::vector<std::string> shapes, inputs;
  int64_t batch = 0;  // 0: not given
  int threads = 0, contexts = 1;
  double seconds = 5, warmup = 1;
  bool profile = false, turns = false, verbose = false;
};

// One caller: its context, its inputs, the times of its runs.
struct Caller {
  Executor executor;
  std::vector<std::shared_ptr<Tensor>> data;
  std::vector<DeviceMemory> moved;  // the inputs, where they do not lie in pageable memory
  std::vector<TensorRef> in, out;
  std::vector<double> times;
  bool on_device = false;  // inputs come from the device's memory, outputs stay there
  Status status;

  Status set_up(const Graph& graph, const RunSizes& sizes, std::shared_ptr<const Specialisation> spec,
                const std::string& memory, unsigned seed) {
    FOVEA_TRY_SET(data, example_inputs(graph, sizes.card_or_null(), sizes.sizes, seed));
    for (const auto& t : data) in.push_back(TensorRef::dense_of(t->dtype(), t->dims(), t->mutable_data()));
    out.resize(graph.outputs.size());
    Device* device = spec->device();
    FOVEA_TRY(executor.bind(std::move(spec)));
    if (memory == "pageable") return {};
    on_device = memory == "device";
    for (TensorRef& r : in) {
      const int64_t bytes = dtype_bytes(r.dtype, r.count()).value_or(0);
      const auto kind = on_device ? DeviceMemory::Kind::kDevice : DeviceMemory::Kind::kPinned;
      FOVEA_TRY_SET(moved.emplace_back(), device->allocate(bytes, kind));
      FOVEA_TRY(executor.stream()->copy(moved.back().data(), r.data, bytes));
      r.data = moved.back().data();
    }
    return executor.stream()->synchronize();
  }

  Status once() {
    if (!on_device) return executor.run(in, out);
    FOVEA_TRY(executor.enqueue(in));
    FOVEA_TRY(executor.finish_on_device(out));
    return executor.stream()->synchronize();
  }

  // `progress` of one caller only, or null.
  void run(double warm_until, double end, Progress* progress) {
    auto tell = [&](std::string_view what, double from, double until) {
      const double part = until > from ? std::min((now_ms() - from) / (until - from), 1.0) : 1;
      if (progress) progress->show(what, static_cast<int>(part * 100), 100);
    };
    const double begin = now_ms();
    while (now_ms() < warm_until && status.ok()) {
      tell("warming up", begin, warm_until);
      status = once();
    }
    while (status.ok() && (times.size() < 3 || now_ms() < end)) {
      tell("measuring", warm_until, end);
      const double started = now_ms();
      status = once();
      times.push_back(now_ms() - started);
    }
  }
};

double percentile(const std::vector<double>& sorted, double p) {
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(p / 100 * static_cast<double>(sorted.size())))];
}

Status profile(Caller& caller, nlohmann::ordered_json& json) {
  struct Row {
    double ms = 0;
    int calls = 0;
  };
  std::map<std::string, Row> rows;
  constexpr int kRuns = 5;
  caller.executor.observer = [&](const StepEvent& e) {
    std::string key(e.kernel);
    if (e.group && e.kernel == "reference") key += ":" + std::string(e.group->nodes[0]->op->name);
    rows[key].ms += static_cast<double>(e.end_ns - e.begin_ns) / 1e6 / kRuns;
    ++rows[key].calls;
  };
  for (int i = 0; i < kRuns; ++i) FOVEA_TRY(caller.executor.run(caller.in, caller.out));
  caller.executor.observer = nullptr;
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
  for (const auto& [kernel, r] : sorted) {
    std::printf("  %-32s %9.3f ms  %4d calls\n", kernel.c_str(), r.ms, r.calls / kRuns);
    json.push_back({{"kernel", kernel}, {"ms", r.ms}, {"calls", r.calls / kRuns}});
  }
  return {};
}

Status run(const Options& o, const CLI::App& verb) {
  if (o.turns) {
    FOVEA_TRY(refuse_flags(
        verb, {"--batch", "--shapes", "--contexts", "--memory", "--seconds", "--warmup", "--json", "--profile"},
        "means nothing with --turns, which takes its sizes from --input and prints each run's milliseconds"));
    return take_turns({o.engine, o.device, o.output, o.inputs, o.threads, o.verbose});
  }
  FOVEA_TRY(refuse_flags(verb, {"--input", "--output"}, "goes with --turns; without it bench makes its own inputs"));
  if (!o.json.empty()) FOVEA_TRY(check_writable(o.json));
  if (o.memory != "pageable" && o.device == "cpu")
    return invalid_argument("--memory {}: means nothing on the CPU; name a device with --device", o.memory);
  const double opening = now_ms();
  FOVEA_TRY_SET(const Engines engines, open_engines(o.engine, o.device, o.threads, o.verbose));
  const auto& engine = engines[0];
  const Graph& graph = engine->main().graph();
  FOVEA_TRY_SET(const RunSizes sizes, choose_sizes(*engine, o.shapes, o.batch));
  const int64_t batch = sizes.batch;
  std::vector<std::unique_ptr<Caller>> callers;
  int64_t packed_bytes = 0;
  for (const auto& e : engines) {
    FOVEA_TRY_SET(auto spec, e->main().specialise(sizes.symbols, e->threads()));
    for (int i = 0; i < o.contexts; ++i) {
      callers.push_back(std::make_unique<Caller>());
      FOVEA_TRY(callers.back()->set_up(graph, sizes, spec, o.memory, static_cast<unsigned>(callers.size())));
    }
    packed_bytes += e->main().packed_bytes();
  }
  FOVEA_TRY(callers[0]->once());
  const double first_ms = now_ms() - opening;

  const double warm_until = now_ms() + o.warmup * 1e3, end = warm_until + o.seconds * 1e3;
  std::vector<std::thread> team;
  for (size_t i = 1; i < callers.size(); ++i) team.emplace_back([&, i] { callers[i]->run(warm_until, end, nullptr); });
  Progress progress;
  callers[0]->run(warm_until, end, &progress);
  for (std::thread& t : team) t.join();
  const double measured_ms = now_ms() - warm_until;
  Progress::clear();
  std::vector<double> times;
  for (const auto& c : callers) {
    FOVEA_TRY(c->status);
    times.insert(times.end(), c->times.begin(), c->times.end());
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  // Callers side by side do not all take the median.
  const double images = callers.size() == 1
                            ? static_cast<double>(batch) / median * 1e3
                            : static_cast<double>(batch) * static_cast<double>(times.size()) / measured_ms * 1e3;
  const Executor::Counts& counts = callers[0]->executor.counts();
  const Telemetry telemetry = engine->device() ? engine->device()->telemetry() : Telemetry{};
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  nlohmann::ordered_json json{{"engine", o.engine},
                              {"device", o.device},
                              {"batch", batch},
                              {"threads", engine->threads()},
                              {"contexts", o.contexts},
                              {"runs", times.size()},
                              {"measured_seconds", measured_ms / 1e3},
                              {"median_ms", median},
                              {"min_ms", times.front()},
                              {"p90_ms", percentile(times, 90)},
                              {"p99_ms", percentile(times, 99)},
                              {"max_ms", times.back()},
                              {"images_per_second", images},
                              {"open_to_first_result_ms", first_ms},
                              {"arena_bytes", callers[0]->executor.arena_bytes()},
                              {"device_bytes", callers[0]->executor.device_bytes()},
                              {"packed_weight_bytes", packed_bytes},
                              {"peak_resident_bytes", static_cast<int64_t>(usage.ru_maxrss) * 1024},
                              {"replanned", engine->replanned()}};
  if (engine->device()) {
    json["memory"] = o.memory;
    json["graphs_per_run"] = counts.graphs;
    json["launches_per_run"] = counts.launches;  // those outside of graphs
    json["synchronisations_per_run"] = counts.synchronisations;
    json["clock_mhz"] = telemetry.clock_mhz, json["memory_clock_mhz"] = telemetry.memory_clock_mhz;
    json["power_watts"] = telemetry.power_watts, json["temperature_celsius"] = telemetry.temperature_celsius;
  }
  std::printf(
      "batch %lld, %s, %d threads, %d contexts: median %.2f ms (min %.2f, p90 %.2f, p99 %.2f, max %.2f; %zu runs), "
      "%.1f "
      "images/s\n",
      static_cast<long long>(batch), o.device.c_str(), engine->threads(), o.contexts, median, times.front(),
      percentile(times, 90), percentile(times, 99), times.back(), times.size(), images);
  std::printf("open to first result %.0f ms, arena %.1f MB, ", first_ms,
              static_cast<double>(callers[0]->executor.arena_bytes()) / 1e6);
  if (engine->device())
    std::printf("on the device %.1f MB, ", static_cast<double>(callers[0]->executor.device_bytes()) / 1e6);
  std::printf("packed weights %.1f MB, peak resident %.1f MB\n", static_cast<double>(packed_bytes) / 1e6,
              static_cast<double>(usage.ru_maxrss) * 1024 / 1e6);
  if (engine->device())
    std::printf("%s inputs; a run: %d graphs, %d steps outside of them, %d waits; %.0f MHz, %.0f W, %.0f C\n",
                o.memory.c_str(), counts.graphs, counts.launches, counts.synchronisations, telemetry.clock_mhz,
                telemetry.power_watts, telemetry.temperature_celsius);
  if (o.profile) {
    json["profile"] = nlohmann::ordered_json::array();
    FOVEA_TRY(profile(*callers[0], json["profile"]));
  }
  if (!o.json.empty()) FOVEA_TRY(write_file(o.json, json.dump(1) + "\n"));
  return {};
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("bench", "Measure an engine: the network alone, on inputs made up");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_option("--batch", o->batch, "Pictures in a run")->check(CLI::Range(1, 1 << 20));
  verb->add_option("--shapes", o->shapes, "Open sizes of the inputs")->type_name("NAME=SIZE")->allow_extra_args(false);
  add_device(*verb, o->device, /*several=*/true);
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::Range(1, 1024));
  verb->add_option("--contexts", o->contexts, "Callers that run at once, on each device")->check(CLI::Range(1, 64));
  verb->add_option("--memory", o->memory,
                   "On a device: where inputs lie; with 'device' outputs stay there too, and nothing is transferred")
      ->check(CLI::IsMember({"pageable", "pinned", "device"}));
  verb->add_option("--seconds", o->seconds, "How long to measure")->check(CLI::Range(1e-3, 1e6));
  verb->add_option("--warmup", o->warmup, "Seconds that do not count, before")->check(CLI::NonNegativeNumber);
  verb->add_option("--json", o->json, "Write the figures to a file")->type_name("FILE");
  verb->add_flag(
      "--turns", o->turns,
      "Run once for each line of standard input, print its milliseconds: for taking turns with other programs");
  verb->add_option("--input", o->inputs, "With --turns: a tensor for an input; one for each")
      ->type_name("NAME=FILE.npy")
      ->allow_extra_args(false);
  verb->add_option("--output", o->output, "With --turns: folder for the first run's outputs")->type_name("DIR");
  verb->add_flag("--profile", o->profile, "Time by kernel");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, verb, &action] { action = [o, verb] { return run(*o, *verb); }; });
}

}  // namespace fovea::core::tool
