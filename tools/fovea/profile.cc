// fovea profile: what each step of a run takes, what bounds it, and which ONNX nodes it stands for.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/parallel.h"
#include "ir/parse.h"
#include "ops/gemm.h"
#include "ops/op.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string engine, device, json;
  std::vector<std::string> shapes;
  int64_t batch = 0;  // 0: not given
  int threads = 0, runs = 20;
  double bandwidth = 0, peak = 0;  // 0: not given
  bool verbose = false;
};

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// ---- what the machine can do

constexpr int kTries = 15;  // the best counts: others may use the machine, too

// GB/s, read and written bytes both counted, of copying what no cache holds.
double host_bandwidth(int threads) {
  constexpr int64_t kBytes = int64_t{128} << 20;
  std::vector<std::byte> from(kBytes, std::byte{1}), to(kBytes);
  double best = HUGE_VAL;
  for (int i = 0; i < kTries; ++i) {
    const double begin = now_ms();
    parallel_for(threads, kBytes, 1 << 20, [&](int64_t first, int64_t last) {
      std::memcpy(to.data() + first, from.data() + first, static_cast<size_t>(last - first));
    });
    best = std::min(best, now_ms() - begin);
  }
  return 2.0 * kBytes / best / 1e6;
}

Result<double> device_bandwidth(Device& device) {
  const int64_t bytes = std::min(int64_t{256} << 20, device.free_bytes() / 4);
  FOVEA_TRY_SET(const DeviceMemory from, device.allocate(bytes, DeviceMemory::Kind::kDevice));
  FOVEA_TRY_SET(const DeviceMemory to, device.allocate(bytes, DeviceMemory::Kind::kDevice));
  FOVEA_TRY_SET(auto stream, device.create_stream());
  FOVEA_TRY_SET(auto begin, device.create_event());
  FOVEA_TRY_SET(auto end, device.create_event());
  double best = HUGE_VAL;
  for (int i = 0; i < kTries; ++i) {
    FOVEA_TRY(stream->record(*begin));
    FOVEA_TRY(stream->copy(to.data(), from.data(), bytes));
    FOVEA_TRY(stream->record(*end));
    FOVEA_TRY(stream->synchronize());
    FOVEA_TRY_SET(const double ms, end->ms_since(*begin));
    best = std::min(best, ms);
  }
  return 2.0 * static_cast<double>(bytes) / best / 1e6;
}

// GFLOP/s of a matrix product, by the kernel that an engine would run it with.
Result<double> host_peak(int threads) {
  constexpr int64_t kSide = 1024;
  FOVEA_TRY_SET(auto graph, parse(fmt::format("graph @main(%x: float32[{0},{0}]) -> (y = %y) {{\n"
                                              "  %w = constant float32[{0},{0}] random(1)\n  %y = MatMul(%x, %w)\n}}",
                                              kSide),
                                  find_op));
  PlannedGraph planned(*graph, {}, {}, {}, nullptr);
  FOVEA_TRY_SET(auto spec, planned.specialise(SymbolValues(), threads));
  Executor executor;
  FOVEA_TRY(executor.bind(std::move(spec)));
  FOVEA_TRY_SET(auto x, Tensor::allocate(DType::kFloat32, {kSide, kSide}));
  const TensorRef in = TensorRef::of(*x);
  TensorRef out;
  double best = HUGE_VAL;
  for (int i = 0; i < kTries; ++i) {
    const double begin = now_ms();
    FOVEA_TRY(executor.run(std::span(&in, 1), std::span(&out, 1)));
    best = std::min(best, now_ms() - begin);
  }
  return 2.0 * kSide * kSide * kSide / best / 1e6;
}

struct Machine {
  Place place = Place::kHost;  // where the figures hold
  double bandwidth = 0;        // GB/s
  std::optional<double> peak;  // GFLOP/s; of a device it is known only if it was given
};

Result<Machine> measure_machine(const Options& o, LoadedEngine& engine) {
  Machine m;
  if (o.peak > 0) m.peak = o.peak;
  m.bandwidth = o.bandwidth;
  if (Device* device = engine.device()) {
    m.place = Place::kDevice;
    if (m.bandwidth > 0) return m;
    FOVEA_TRY_SET(m.bandwidth, device_bandwidth(*device));
    return m;
  }
  if (m.bandwidth <= 0) m.bandwidth = host_bandwidth(engine.threads());
  if (!m.peak) {
    FOVEA_TRY_SET(m.peak, host_peak(engine.threads()));
  }
  return m;
}

// ---- what a step does

// Bytes of a tensor in a format; none where its size has no bound.
double bytes_of(const Value* v, const Format& format, const Sizes& sizes) {
  if (!v) return 0;
  const std::vector<int64_t> shape = sizes.upper(v->shape);
  if (std::ranges::any_of(shape, [](int64_t d) { return d >= kUnbounded; }) || !element_count(shape)) return 0;
  return static_cast<double>(storage_elements(format.layout, shape)) * dtype_bits(format.dtype(v->dtype)) / 8;
}

// Of the multiplications and additions that matrix units and vector units are for; other operators count none.
double operations(const Node& node, const Sizes& sizes) {
  auto shape = [&](const Value* v) { return sizes.upper(v->shape); };
  auto count = [&](const Value* v) { return static_cast<double>(element_count(shape(v)).value_or(0)); };
  if (node.is("Conv") || node.is("ConvTranspose")) {
    const Value* weights = node.input(1);  // [outputs, inputs of the group, ...]; ConvTranspose: the other way round
    const auto outermost = static_cast<double>(std::max<int64_t>(shape(weights)[0], 1));
    return 2 * count(node.is("Conv") ? node.output() : node.input(0)) * count(weights) / outermost;
  }
  if (node.is("Gemm") || node.is("MatMul")) {
    const std::vector<int64_t> a = shape(node.input(0));
    const bool transposed = node.is("Gemm") && node.as<GemmAttrs>().transA;
    return a.empty() ? 0 : 2 * count(node.output()) * static_cast<double>(transposed ? a[0] : a.back());
  }
  return 0;
}

struct StepCost {
  const Step* step = nullptr;
  std::string kernel;
  std::vector<std::string> ops, onnx_nodes;
  bool detection = false;  // is it an operator of detection?
  double bytes = 0, operations = 0;
  std::vector<double> times;  // ms
};

void list_steps(std::span<const Step> steps, std::map<int, const Step*>& by_index) {
  for (const Step& s : steps) {
    by_index[s.index] = &s;
    for (const auto& branch : s.branches) list_steps(branch, by_index);
  }
}

StepCost cost_of(const StepEvent& e, const Step& step, const Plan& plan, const Sizes& sizes) {
  StepCost c;
  c.step = &step, c.kernel = e.kernel;
  auto add_node = [&](const Node& n) {
    c.ops.emplace_back(n.op->name);
    c.onnx_nodes.insert(c.onnx_nodes.end(), n.origin.begin(), n.origin.end());
    c.detection |= n.is("DecodeBoxes") || n.is("Nms");
    c.operations += operations(n, sizes);
  };
  if (step.choice >= 0) {
    const GroupChoice& g = plan.assignment.groups[static_cast<size_t>(step.choice)];
    for (const Node* n : g.group.nodes) add_node(*n);
    for (size_t i = 0; i < g.group.inputs.size(); ++i)
      c.bytes += bytes_of(g.group.inputs[i], g.formats.inputs[i], sizes);
    for (size_t i = 0; i < g.group.outputs.size(); ++i)
      c.bytes += bytes_of(g.group.outputs[i], g.formats.outputs[i], sizes);
    return c;
  }
  if (step.node && step.kind == Step::Kind::kGroup) add_node(*step.node);
  else if (step.node) c.onnx_nodes = step.node->origin;
  for (const auto* tensors : {&step.inputs, &step.outputs})
    for (int t : *tensors) {
      if (t < 0) continue;
      const PlanTensor& tensor = plan.tensors[static_cast<size_t>(t)];
      c.bytes += bytes_of(tensor.value, tensor.format, sizes);
    }
  return c;
}

// ---- the profile

ordered_json step_json(const StepCost& c, const Machine& machine, double total, bool network) {
  const double ms = median(c.times);
  const double memory_ms = c.bytes / machine.bandwidth / 1e6;
  ordered_json j{{"ms", ms},
                 {"min_ms", *std::ranges::min_element(c.times)},
                 {"share", total > 0 ? ms / total : 0},
                 {"kernel", c.kernel},
                 {"place", c.step->place == Place::kDevice ? "device" : "host"},
                 {"part", network ? "network" : "postprocessing"},
                 {"ops", c.ops},
                 {"onnx_nodes", c.onnx_nodes},
                 {"bytes", c.bytes},
                 {"operations", c.operations}};
  if (c.step->place != machine.place) return j;  // the figures are the other's
  if (c.operations > 0 && !machine.peak) {
    j["memory_floor_ms"] = memory_ms;
    return j;
  }
  const double compute_ms = c.operations > 0 ? c.operations / *machine.peak / 1e6 : 0;
  j["bound"] = compute_ms > memory_ms ? "compute" : "memory";
  j["floor_ms"] = std::max(compute_ms, memory_ms);
  return j;
}

void print_steps(const ordered_json& steps) {
  std::vector<const ordered_json*> sorted;
  for (const auto& s : steps) sorted.push_back(&s);
  std::ranges::stable_sort(sorted, std::greater<>(), [](const ordered_json* s) { return (*s)["ms"].get<double>(); });
  std::printf("%9s %6s  %-28s %9s %8s  %-7s %6s  %s\n", "ms", "share", "kernel", "MB", "GFLOP", "bound", "floor",
              "operators (ONNX nodes)");
  for (const ordered_json* p : sorted) {
    const ordered_json& s = *p;
    const double ms = s["ms"].get<double>(), operations = s["operations"].get<double>();
    const auto nodes = s["onnx_nodes"].get<std::vector<std::string>>();
    std::string origin = nodes.empty() ? "" : nodes[0];
    if (nodes.size() > 1) origin += fmt::format(" and {} more", nodes.size() - 1);
    const bool floor = s.contains("floor_ms") && ms > 0;
    std::printf("%9.4f %5.1f%%  %-28s %9.3f %8s  %-7s %6s  %s%s\n", ms, 100 * s["share"].get<double>(),
                s["kernel"].get<std::string>().c_str(), s["bytes"].get<double>() / 1e6,
                operations > 0 ? fmt::format("{:.4g}", operations / 1e9).c_str() : "", s.value("bound", "").c_str(),
                floor ? fmt::format("{:.0f}%", 100 * s["floor_ms"].get<double>() / ms).c_str() : "",
                fmt::format("{}", fmt::join(s["ops"].get<std::vector<std::string>>(), "+")).c_str(),
                origin.empty() ? "" : fmt::format(" ({})", origin).c_str());
  }
}

Status run(const Options& o) {
  if (!o.json.empty()) FOVEA_TRY(check_writable(o.json));
  FOVEA_TRY_SET(auto engine, open_engine(o.engine, o.device, o.threads, o.verbose));
  FOVEA_TRY_SET(const RunSizes run_sizes, choose_sizes(*engine, o.shapes, o.batch));
  const Graph& graph = engine->main().graph();
  FOVEA_TRY_SET(const auto data, example_inputs(graph, run_sizes.card_or_null(), run_sizes.sizes, 1));
  std::vector<TensorRef> in, out(graph.outputs.size());
  for (const auto& t : data) in.push_back(TensorRef::dense_of(t->dtype(), t->dims(), t->mutable_data()));
  FOVEA_TRY_SET(auto spec, engine->main().specialise(run_sizes.symbols, engine->threads()));
  FOVEA_TRY_SET(const Machine machine, measure_machine(o, *engine));

  Executor executor;
  FOVEA_TRY(executor.bind(spec));
  std::vector<double> whole;
  Progress progress;
  for (int i = -2; i < o.runs; ++i) {  // two to warm up: a device records its steps at the second
    const double begin = now_ms();
    FOVEA_TRY(executor.run(in, out));
    if (i >= 0) whole.push_back(now_ms() - begin);
    progress.show("measuring runs", i + 3, o.runs + 2);
  }

  std::map<int, const Step*> by_index;
  list_steps(spec->plan().run_steps, by_index);
  std::map<int, size_t> seen;   // index of the step -> of its cost
  std::vector<StepCost> costs;  // in the order of the run
  executor.observer = [&](const StepEvent& e) {
    auto [it, fresh] = seen.try_emplace(e.index, costs.size());
    if (fresh) costs.push_back(cost_of(e, *by_index.at(e.index), spec->plan(), run_sizes.sizes));
    costs[it->second].times.push_back(static_cast<double>(e.end_ns - e.begin_ns) / 1e6);
  };
  for (int i = 0; i < o.runs; ++i) {
    FOVEA_TRY(executor.run(in, out));
    progress.show("measuring steps", i + 1, o.runs);
  }
  Progress::clear();

  double total = 0, network_ms = 0;
  for (const StepCost& c : costs) total += median(c.times);
  ordered_json steps = ordered_json::array();
  bool network = true;
  for (const StepCost& c : costs) {
    network = network && !c.detection;
    steps.push_back(step_json(c, machine, total, network));
    if (network) network_ms += median(c.times);
  }
  const double rest_ms = total - network_ms;
  auto part = [&](double ms) { return ordered_json{{"ms", ms}, {"share", total > 0 ? ms / total : 0}}; };
  ordered_json json{{"engine", o.engine},
                    {"device", o.device},
                    {"batch", run_sizes.batch},
                    {"threads", engine->threads()},
                    {"runs", o.runs},
                    {"run_ms", median(whole)},
                    {"steps_ms", total},
                    {"network", part(network_ms)},
                    {"postprocessing", part(rest_ms)},
                    {"bandwidth_gb_per_s", machine.bandwidth}};
  if (machine.peak) json["peak_gflop_per_s"] = *machine.peak;
  json["steps"] = steps;
  std::printf(
      "batch %lld, %s, %d threads: a run takes %.3f ms, its %zu steps one by one %.3f ms (medians of %d runs)\n",
      static_cast<long long>(run_sizes.batch), o.device.c_str(), engine->threads(), median(whole), costs.size(), total,
      o.runs);
  std::printf("network %.3f ms (%.1f%%), postprocessing %.3f ms (%.1f%%)\n", network_ms,
              total > 0 ? 100 * network_ms / total : 0, rest_ms, total > 0 ? 100 * rest_ms / total : 0);
  std::printf("floor of a step: bytes / %.1f GB/s%s\n\n", machine.bandwidth,
              machine.peak ? fmt::format(" or operations / {:.1f} GFLOP/s, the larger", *machine.peak).c_str()
                           : "; of convolutions and matrix products only with --peak");
  print_steps(steps);
  if (!o.json.empty()) FOVEA_TRY(write_file(o.json, json.dump(1) + "\n"));
  return {};
}

}  // namespace

void add_profile(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("profile", "Time every step of a run: kernels, ONNX nodes, what bounds them");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_option("--batch", o->batch, "Pictures in a run")->check(CLI::Range(1, 1 << 20));
  verb->add_option("--shapes", o->shapes, "Open sizes of the inputs")->type_name("NAME=SIZE")->allow_extra_args(false);
  add_device(*verb, o->device);
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::Range(1, 1024));
  verb->add_option("--runs", o->runs, "Runs that medians are taken of")->check(CLI::Range(1, 100000));
  verb->add_option("--bandwidth", o->bandwidth, "The memory's bytes, in GB/s; measured if not given")
      ->check(CLI::PositiveNumber)
      ->type_name("GB/S");
  verb->add_option("--peak", o->peak, "The most operations, in GFLOP/s; measured on the CPU if not given")
      ->check(CLI::PositiveNumber)
      ->type_name("GFLOP/S");
  verb->add_option("--json", o->json, "Write the profile to a file")->type_name("FILE");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, &action] { action = [o] { return run(*o); }; });
}

}  // namespace fovea::core::tool
