// fovea profile: what each step of a run takes, what bounds it, and which ONNX nodes it stands for.
#include <algorithm>
#include <cstdio>
#include <map>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "machine.h"
#include "tactics/cost.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string engine, device, json;
  std::vector<std::string> shapes, inputs;
  int64_t batch = 0;  // 0: not given
  int threads = 0, runs = 20;
  double bandwidth = 0, peak = 0;  // 0: not given
  bool roofline = false, verbose = false;
};

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// ---- what a step does

struct StepCost {
  const Step* step = nullptr;
  std::string kernel;
  std::vector<std::string> ops, onnx_nodes;
  bool detection = false;  // is it an operator of detection?
  GroupCost cost;
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
  };
  if (step.choice >= 0) {
    const GroupChoice& g = plan.assignment.groups[static_cast<size_t>(step.choice)];
    for (const Node* n : g.group.nodes) add_node(*n);
    c.cost = group_cost(g.group, g.formats, sizes);
    return c;
  }
  if (step.node && step.kind == Step::Kind::kGroup) add_node(*step.node), add_operations(*step.node, sizes, c.cost);
  else if (step.node) c.onnx_nodes = step.node->origin;
  for (const auto* tensors : {&step.inputs, &step.outputs})
    for (int t : *tensors) {
      if (t < 0) continue;
      const PlanTensor& tensor = plan.tensors[static_cast<size_t>(t)];
      c.cost.bytes += value_bytes(tensor.value, tensor.format, sizes);
    }
  return c;
}

// ---- the profile

ordered_json step_json(const StepCost& c, const Machine& machine, double total, bool network) {
  const double ms = median(c.times);
  ordered_json j{{"ms", ms},
                 {"min_ms", *std::ranges::min_element(c.times)},
                 {"share", total > 0 ? ms / total : 0},
                 {"kernel", c.kernel},
                 {"place", c.step->place == Place::kDevice ? "device" : "host"},
                 {"part", network ? "network" : "postprocessing"},
                 {"ops", c.ops},
                 {"onnx_nodes", c.onnx_nodes},
                 {"bytes", c.cost.bytes},
                 {"operations", c.cost.products},
                 {"other_operations", c.cost.others},
                 {"arithmetic", to_string(c.cost.arithmetic)}};
  if (ms > 0) {
    j["gb_per_s"] = c.cost.bytes / ms / 1e6;
    j["tflop_per_s"] = (c.cost.products + c.cost.others) / ms / 1e9;
  }
  if (c.step->place != machine.place) return j;  // the figures are the other's
  const auto floor = floor_of(c.cost, machine.limits);
  if (!floor) {  // no peak is known
    j["memory_floor_ms"] = 1e3 * c.cost.bytes / machine.limits.bytes_per_second;
    return j;
  }
  j["bound"] = floor->compute ? "compute" : "memory";
  j["floor_ms"] = floor->ms;
  if (ms > 0) j["floor_share"] = floor->ms / ms;
  return j;
}

std::string number(const ordered_json& s, const char* key, const char* form, double scale = 1) {
  return s.contains(key) ? fmt::format(fmt::runtime(form), s[key].get<double>() * scale) : "-";
}

std::string all_of(const ordered_json& list, const char* between) {
  return fmt::format("{}", fmt::join(list.get<std::vector<std::string>>(), between));
}

void print_steps(const ordered_json& steps) {
  std::vector<const ordered_json*> sorted;
  for (const auto& s : steps) sorted.push_back(&s);
  std::ranges::stable_sort(sorted, std::greater<>(), [](const ordered_json* s) { return (*s)["ms"].get<double>(); });
  std::printf("%9s %6s  %-28s %9s %8s  %-7s %6s  %s\n", "ms", "share", "kernel", "MB", "GFLOP", "bound", "floor",
              "operators (ONNX nodes)");
  for (const ordered_json* p : sorted) {
    const ordered_json& s = *p;
    const double operations = s["operations"].get<double>() + s["other_operations"].get<double>();
    const auto& nodes = s["onnx_nodes"];
    std::string origin = nodes.empty() ? "" : nodes[0].get<std::string>();
    if (nodes.size() > 1) origin += fmt::format(" and {} more", nodes.size() - 1);
    std::printf("%9.4f %5.1f%%  %-28s %9.3f %8s  %-7s %6s  %s%s\n", s["ms"].get<double>(),
                100 * s["share"].get<double>(), s["kernel"].get<std::string>().c_str(), s["bytes"].get<double>() / 1e6,
                operations > 0 ? fmt::format("{:.4g}", operations / 1e9).c_str() : "", s.value("bound", "").c_str(),
                s.contains("floor_share") ? number(s, "floor_share", "{:.0f}%", 100).c_str() : "",
                all_of(s["ops"], "+").c_str(), origin.empty() ? "" : fmt::format(" ({})", origin).c_str());
  }
}

// In the order of the run: how near each step comes to what bounds it.
void print_roofline(const ordered_json& steps) {
  std::printf("%9s %8s %8s  %-4s %-7s %9s %6s  %-28s %s\n", "ms", "GB/s", "TFLOP/s", "in", "bound", "floor ms", "floor",
              "kernel", "ONNX nodes");
  for (const auto& s : steps)
    std::printf("%9.4f %8s %8s  %-4s %-7s %9s %6s  %-28s %s\n", s["ms"].get<double>(),
                number(s, "gb_per_s", "{:.1f}").c_str(), number(s, "tflop_per_s", "{:.3g}").c_str(),
                s["operations"].get<double>() > 0 ? s["arithmetic"].get<std::string>().c_str() : "",
                s.value("bound", "-").c_str(), number(s, "floor_ms", "{:.4f}").c_str(),
                number(s, "floor_share", "{:.0f}%", 100).c_str(), s["kernel"].get<std::string>().c_str(),
                all_of(s["onnx_nodes"], ", ").c_str());
}

Status run(const Options& o, const CLI::App& verb) {
  if (!o.inputs.empty()) FOVEA_TRY(refuse_flags(verb, {"--batch", "--shapes"}, kSizesOfFiles));
  if (!o.json.empty()) FOVEA_TRY(check_writable(o.json));
  FOVEA_TRY_SET(auto engine, open_engine(o.engine, o.device, o.threads, o.verbose));
  const Graph& graph = engine->main().graph();
  TensorInputs given;
  if (!o.inputs.empty()) {
    FOVEA_TRY_SET(given, read_inputs(graph, o.inputs));
  }
  FOVEA_TRY_SET(const RunSizes run_sizes,
                o.inputs.empty() ? choose_sizes(*engine, o.shapes, o.batch) : sizes_of(*engine, given));
  std::vector<std::shared_ptr<Tensor>> made_up;
  std::vector<TensorRef> in = given.refs, out(graph.outputs.size());
  if (o.inputs.empty()) {
    FOVEA_TRY_SET(made_up, example_inputs(graph, run_sizes.card_or_null(), run_sizes.sizes, 1));
    for (const auto& t : made_up) in.push_back(TensorRef::dense_of(t->dtype(), t->dims(), t->mutable_data()));
  }
  FOVEA_TRY_SET(auto spec, engine->main().specialise(run_sizes.symbols, engine->threads()));
  FOVEA_TRY_SET(const Machine machine, find_machine(*engine, o.bandwidth, o.peak));

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
                    {"bandwidth_gb_per_s", machine.limits.bytes_per_second / 1e9}};
  const Limits& limits = machine.limits;
  if (limits.flops_fp32 > 0 && limits.flops_fp32 == limits.flops_fp16)
    json["peak_gflop_per_s"] = limits.flops_fp32 / 1e9;
  else if (limits.flops_fp32 > 0)
    json["peaks_gflop_per_s"] = {
        {"fp32", limits.flops_fp32 / 1e9}, {"tf32", limits.flops_tf32 / 1e9}, {"fp16", limits.flops_fp16 / 1e9}};
  json["steps"] = steps;
  std::printf(
      "batch %lld, %s, %d threads: a run takes %.3f ms, its %zu steps one by one %.3f ms (medians of %d runs)\n",
      static_cast<long long>(run_sizes.batch), o.device.c_str(), engine->threads(), median(whole), costs.size(), total,
      o.runs);
  std::printf("network %.3f ms (%.1f%%), postprocessing %.3f ms (%.1f%%)\n", network_ms,
              total > 0 ? 100 * network_ms / total : 0, rest_ms, total > 0 ? 100 * rest_ms / total : 0);
  std::printf("floor of a step: %s\n\n", machine.describe().c_str());
  if (o.roofline) print_roofline(steps);
  else print_steps(steps);
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
  verb->add_option("--input", o->inputs, "A tensor for an input, one for each; they are made up if not given")
      ->type_name("NAME=FILE.npy")
      ->allow_extra_args(false);
  add_device(*verb, o->device);
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::Range(1, 1024));
  verb->add_option("--runs", o->runs, "Runs that medians are taken of")->check(CLI::Range(1, 100000));
  verb->add_option("--bandwidth", o->bandwidth, "The memory's bytes, in GB/s; as the device says, or measured")
      ->check(CLI::PositiveNumber)
      ->type_name("GB/S");
  verb->add_option("--peak", o->peak, "The most operations, in GFLOP/s; as the device says, or measured on the CPU")
      ->check(CLI::PositiveNumber)
      ->type_name("GFLOP/S");
  verb->add_flag("--roofline", o->roofline,
                 "In the order of the run: GB/s, TFLOP/s, and what the machine's best would take");
  verb->add_option("--json", o->json, "Write the profile to a file")->type_name("FILE");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, verb, &action] { action = [o, verb] { return run(*o, *verb); }; });
}

}  // namespace fovea::core::tool
