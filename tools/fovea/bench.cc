#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <thread>

#include "base/file.h"
#include "bench.h"

namespace fovea::core::tool {
namespace {

Status profile(Caller& caller, nlohmann::ordered_json& json) {
  struct Row {
    double ms = 0;
    int calls = 0;
  };
  std::map<std::string, Row> rows;
  constexpr int kRuns = 5;
  FOVEA_TRY(caller.observed(kRuns, [&](const StepEvent& e) {
    std::string key(e.kernel);
    if (e.group && e.kernel == "reference") key += ":" + std::string(e.group->nodes[0]->op->name);
    rows[key].ms += static_cast<double>(e.end_ns - e.begin_ns) / 1e6 / kRuns;
    ++rows[key].calls;
  }));
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second.ms > b.second.ms; });
  for (const auto& [kernel, r] : sorted) {
    std::printf("  %-32s %9.3f ms  %4d calls\n", kernel.c_str(), r.ms, r.calls / kRuns);
    json.push_back({{"kernel", kernel}, {"ms", r.ms}, {"calls", r.calls / kRuns}});
  }
  return {};
}

Status check_flags(const BenchOptions& o, const CLI::App& verb) {
  FOVEA_TRY(refuse_flags(verb, {"--output"}, "goes with --turns"));
  if (!o.inputs.empty()) {
    FOVEA_TRY(refuse_flags(verb, {"--batch", "--shapes", "--sweep"}, kSizesOfFiles));
    FOVEA_TRY(refuse_flags(verb, {"--pictures"}, "means nothing with --input, which gives every input"));
    if (o.memory == "pictures")
      return invalid_argument("--memory pictures: means nothing with --input, which gives tensors");
  }
  if (o.sweep)
    FOVEA_TRY(refuse_flags(verb, {"--contexts", "--profile"}, "means nothing with --sweep, which measures 1 to 4"));
  else if (o.batches.size() > 1)
    return invalid_argument("--batch: expected one, found {}; several go with --sweep", o.batches.size());
  const bool pictures = o.memory == "pictures";
  if (pictures && o.profile) return invalid_argument("--profile: times the network alone, without --memory pictures");
  if (!pictures && o.memory != "pageable" && o.device == "cpu")
    return invalid_argument("--memory {}: means nothing on the CPU; name a device with --device", o.memory);
  return o.json.empty() ? Status() : check_writable(o.json);
}

Status run_once(const BenchOptions& o) {
  const double opening = now_ms();
  FOVEA_TRY_SET(const Engines engines, open_engines(o.engine, o.device, o.threads, o.verbose));
  if (o.sweep) return sweep(o, engines);
  const auto& engine = engines[0];
  TensorInputs given;
  if (!o.inputs.empty()) {
    FOVEA_TRY_SET(given, read_inputs(engine->main().graph(), o.inputs));
  }
  FOVEA_TRY_SET(const RunSizes sizes, o.inputs.empty()
                                          ? choose_sizes(*engine, o.shapes, o.batches.empty() ? 0 : o.batches[0])
                                          : sizes_of(*engine, given));
  const int64_t batch = sizes.batch;
  FOVEA_TRY_SET(Callers callers, make_callers(o, engines, sizes, given, o.contexts));
  FOVEA_TRY(callers[0]->once());
  const double first_ms = now_ms() - opening;
  FOVEA_TRY(callers[0]->check());
  FOVEA_TRY_SET(const Measured m, measure(o, engines, callers, sizes, o.contexts));
  int64_t packed_bytes = 0;
  for (const auto& e : engines) packed_bytes += e->main().packed_bytes();
  const Executor& executor = callers[0]->executor();
  const Executor::Counts& counts = callers[0]->counts();
  DeviceCounts made;
  for (const auto& c : callers) made += c->made();
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  nlohmann::ordered_json json{{"engine", o.engine},
                              {"device", o.device},
                              {"batch", batch},
                              {"threads", engine->threads()},
                              {"contexts", o.contexts},
                              {"runs", m.times.size()},
                              {"measured_seconds", m.ms / 1e3},
                              {"median_ms", m.median()},
                              {"min_ms", m.times.front()},
                              {"p90_ms", m.percentile(90)},
                              {"p99_ms", m.percentile(99)},
                              {"max_ms", m.times.back()},
                              {"images_per_second", m.images_per_second()},
                              {"open_to_first_result_ms", first_ms},
                              {"arena_bytes", executor.arena_bytes()},
                              {"device_bytes", executor.device_bytes()},
                              {"packed_weight_bytes", packed_bytes},
                              {"peak_resident_bytes", static_cast<int64_t>(usage.ru_maxrss) * 1024},
                              {"replanned", engine->replanned()}};
  if (engine->device() || o.memory == "pictures") json["memory"] = o.memory;
  if (engine->device()) {
    json["graphs_per_run"] = counts.graphs;
    json["launches_per_run"] = counts.launches;  // those outside of graphs
    json["synchronisations_per_run"] = counts.synchronisations;
    json["made_in_measured_runs"] = {
        {"allocations", made.allocations}, {"streams", made.streams}, {"events", made.events}, {"graphs", made.graphs}};
    json["devices"] = to_json(m.watched);
  }
  std::printf(
      "batch %lld, %s, %d threads, %d contexts: median %.2f ms (min %.2f, p90 %.2f, p99 %.2f, max %.2f; %zu runs), "
      "%.1f "
      "images/s\n",
      static_cast<long long>(batch), o.device.c_str(), engine->threads(), o.contexts, m.median(), m.times.front(),
      m.percentile(90), m.percentile(99), m.times.back(), m.times.size(), m.images_per_second());
  std::printf("open to first result %.0f ms, arena %.1f MB, ", first_ms,
              static_cast<double>(executor.arena_bytes()) / 1e6);
  if (engine->device()) std::printf("on the device %.1f MB, ", static_cast<double>(executor.device_bytes()) / 1e6);
  std::printf("packed weights %.1f MB, peak resident %.1f MB\n", static_cast<double>(packed_bytes) / 1e6,
              static_cast<double>(usage.ru_maxrss) * 1024 / 1e6);
  if (engine->device())
    std::printf("%s inputs; a run: %d graphs, %d steps outside of them, %d waits\n", o.memory.c_str(), counts.graphs,
                counts.launches, counts.synchronisations);
  for (const Watched& w : m.watched)
    std::printf("%s meanwhile: %.0f MHz (at least %.0f), memory %.0f MHz, %.0f W, up to %.0f C\n", w.device.c_str(),
                w.mean.clock_mhz, w.slowest_mhz, w.mean.memory_clock_mhz, w.mean.power_watts, w.hottest_celsius);
  if (engine->device())
    std::printf("made in %zu runs: %lld allocations, %lld streams, %lld events, %lld graphs\n", m.times.size(),
                static_cast<long long>(made.allocations), static_cast<long long>(made.streams),
                static_cast<long long>(made.events), static_cast<long long>(made.graphs));
  if (o.profile) {
    json["profile"] = nlohmann::ordered_json::array();
    FOVEA_TRY(profile(*callers[0], json["profile"]));
  }
  if (!o.json.empty()) FOVEA_TRY(write_file(o.json, json.dump(1) + "\n"));
  return {};
}

Status run(const BenchOptions& o, const CLI::App& verb) {
  if (o.turns) {
    FOVEA_TRY(refuse_flags(
        verb,
        {"--batch", "--shapes", "--contexts", "--memory", "--pictures", "--seconds", "--warmup", "--json", "--profile",
         "--sweep"},
        "means nothing with --turns, which takes its sizes from --input and prints each run's milliseconds"));
    return take_turns({o.engine, o.device, o.output, o.inputs, o.threads, o.verbose});
  }
  FOVEA_TRY(check_flags(o, verb));
  return run_once(o);
}

}  // namespace

double Measured::percentile(double p) const {
  return times[std::min(times.size() - 1, static_cast<size_t>(p / 100 * static_cast<double>(times.size())))];
}

double Measured::images_per_second() const {
  const auto pictures = static_cast<double>(batch);
  return callers == 1 ? pictures / median() * 1e3 : pictures * static_cast<double>(times.size()) / ms * 1e3;
}

Result<Callers> make_callers(const BenchOptions& o, const Engines& engines, const RunSizes& sizes,
                             const TensorInputs& given, int contexts) {
  Callers callers;
  for (const auto& e : engines)
    for (int i = 0; i < contexts; ++i) {
      const auto seed = static_cast<unsigned>(callers.size() + 1);
      FOVEA_TRY_SET(callers.emplace_back(), o.memory == "pictures"
                                                ? make_picture_caller(e, sizes, o.pictures, seed)
                                                : make_tensor_caller(*e, sizes, given, o.memory, o.pictures, seed));
    }
  return callers;
}

nlohmann::ordered_json to_json(const std::vector<Watched>& devices) {
  auto json = nlohmann::ordered_json::array();
  for (const Watched& w : devices)
    json.push_back({{"device", w.device},
                    {"clock_mhz", w.mean.clock_mhz},
                    {"slowest_mhz", w.slowest_mhz},
                    {"memory_clock_mhz", w.mean.memory_clock_mhz},
                    {"power_watts", w.mean.power_watts},
                    {"temperature_celsius", w.mean.temperature_celsius},
                    {"hottest_celsius", w.hottest_celsius}});
  return json;
}

Result<Measured> measure(const BenchOptions& o, const Engines& engines, Callers& callers, const RunSizes& sizes,
                         int contexts) {
  const double warm_until = now_ms() + o.warmup * 1e3, end = warm_until + o.seconds * 1e3;
  std::vector<std::thread> team;
  for (size_t i = 1; i < callers.size(); ++i) team.emplace_back([&, i] { callers[i]->run(warm_until, end, nullptr); });
  Progress progress;
  TelemetryWatch watch(engines);
  callers[0]->run(warm_until, end, &progress);
  for (std::thread& t : team) t.join();
  Measured m{sizes.batch, contexts, callers.size(), {}, now_ms() - warm_until, watch.stop()};
  Progress::clear();
  for (const auto& c : callers) {
    FOVEA_TRY(Status(c->status()));
    m.times.insert(m.times.end(), c->times().begin(), c->times().end());
  }
  std::sort(m.times.begin(), m.times.end());
  return m;
}

void add_bench(CLI::App& app, Action& action) {
  auto o = std::make_shared<BenchOptions>();
  CLI::App* verb = app.add_subcommand("bench", "Measure an engine: the network alone, on inputs made up or given");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_option("--batch", o->batches, "Pictures in a run; with --sweep one for each batch to measure")
      ->check(CLI::Range(1, 1 << 20))
      ->allow_extra_args(false);
  verb->add_option("--shapes", o->shapes, "Open sizes of the inputs")->type_name("NAME=SIZE")->allow_extra_args(false);
  add_device(*verb, o->device, /*several=*/true);
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::Range(1, 1024));
  verb->add_option("--contexts", o->contexts, "Callers that run at once, on each device")->check(CLI::Range(1, 64));
  verb->add_option("--memory", o->memory,
                   "On a device: where inputs lie; with 'device' outputs stay there too, and nothing is transferred. "
                   "'pictures', everywhere: from the bytes of pictures (pinned on a device) to boxes on the host")
      ->check(CLI::IsMember({"pageable", "pinned", "device", "pictures"}));
  verb->add_option("--pictures", o->pictures, "A folder of pictures that inputs are made of; made up if not given")
      ->type_name("DIR");
  verb->add_flag("--sweep", o->sweep,
                 "Measure batches (powers of two up to the largest profile, or each --batch) with 1 to 4 contexts, and "
                 "name the knee: the smallest batch x contexts with 90 % of the best throughput");
  verb->add_option("--seconds", o->seconds, "How long to measure")->check(CLI::Range(1e-3, 1e6));
  verb->add_option("--warmup", o->warmup, "Seconds that do not count, before")->check(CLI::NonNegativeNumber);
  verb->add_option("--json", o->json, "Write the figures to a file")->type_name("FILE");
  verb->add_flag(
      "--turns", o->turns,
      "Run once for each line of standard input, print its milliseconds: for taking turns with other programs");
  verb->add_option("--input", o->inputs, "A tensor for an input, one for each; they are made up if not given")
      ->type_name("NAME=FILE.npy")
      ->allow_extra_args(false);
  verb->add_option("--output", o->output, "With --turns: folder for the first run's outputs")->type_name("DIR");
  verb->add_flag("--profile", o->profile, "Time by kernel");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, verb, &action] { action = [o, verb] { return run(*o, *verb); }; });
}

}  // namespace fovea::core::tool
