#include <cstdio>

#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "ir/text.h"
#include "kernels/kernel.h"
#include "plan/plan.h"
#include "tactics/cost.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

using nlohmann::ordered_json;

struct Options {
  std::string engine, device;
  bool json = false, graph = false, plan = false, kernels = false;
};

ordered_json values_json(std::span<Value* const> values, std::span<const std::string> names) {
  ordered_json list = ordered_json::array();
  for (size_t i = 0; i < values.size(); ++i)
    list.push_back({{"name", i < names.size() ? names[i] : values[i]->name},
                    {"type", to_string(values[i]->dtype)},
                    {"shape", to_string(values[i]->shape)}});
  return list;
}

// How long each group takes at the device's best, where that is known.
void add_floors(ordered_json& report, const Limits& limits) {
  for (auto& p : report["profiles"])
    for (auto& g : p["groups"]) {
      const auto arithmetic = arithmetic_from_string(g.value("arithmetic", ""));
      if (!arithmetic || g.value("place", "") != "device") continue;
      const auto floor = floor_of(
          {g.value("bytes", 0.0), g.value("operations", 0.0), g.value("other_operations", 0.0), *arithmetic}, limits);
      if (!floor) continue;
      g["bound"] = floor->compute ? "compute" : "memory";
      g["floor_ms"] = floor->ms;
      if (g.value("ms", 0.0) > 0) g["floor_share"] = floor->ms / g["ms"].get<double>();
    }
}

ordered_json limits_json(const Limits& l) {
  return {{"bytes_per_second", l.bytes_per_second},
          {"flops_fp32", l.flops_fp32},
          {"flops_tf32", l.flops_tf32},
          {"flops_fp16", l.flops_fp16}};
}

ordered_json describe(const EngineData& e, const EngineSections& sections) {
  ordered_json j{{"fovea_version", e.fovea_version},
                 {"git_hash", e.git_hash},
                 {"format", kEngineFormat},
                 {"source", e.source_name},
                 {"source_hash", fmt::format("{:016x}", e.source_hash)},
                 {"file_bytes", sections.file},
                 {"structure_bytes", sections.structure},
                 {"weights_bytes", sections.weights},
                 {"nodes", e.graph->node_count()}};
  j["inputs"] = values_json(e.graph->inputs, {});
  j["outputs"] = values_json(e.graph->outputs, e.graph->output_names);
  ordered_json sizes = ordered_json::array();
  for (const SymbolPtr& s : e.graph->symbols())
    sizes.push_back({{"name", s->name}, {"lo", s->lo}, {"hi", s->hi}, {"data_dependent", s->data_dependent}});
  j["sizes"] = sizes;
  j["card"] = e.card;
  ordered_json targets = ordered_json::array();
  for (const EngineTarget& t : e.targets) {
    ordered_json profiles = ordered_json::array();
    for (const Recipe& r : t.recipes) {
      ordered_json p = ordered_json::object();
      for (const auto& [name, value] : r.profile) p[name] = value;
      profiles.push_back(p);
    }
    targets.push_back({{"build", t.build},
                       {"libraries", t.libraries},
                       {"device", t.device},
                       {"features", t.features},
                       {"threads", t.threads},
                       {"profiles", profiles}});
    if (t.limits != Limits()) targets.back()["limits"] = limits_json(t.limits);
  }
  j["targets"] = targets;
  j["report"] = ordered_json::parse(e.report, nullptr, false);
  if (j["report"].is_object() && !e.targets.empty()) add_floors(j["report"], e.targets[0].limits);
  return j;
}

std::string text(const ordered_json& j, const char* key) {
  auto it = j.find(key);
  return it == j.end() ? "" : it->is_string() ? it->get<std::string>() : it->dump();
}

std::string kernel_text(const ordered_json& j) {
  const std::string variant = text(j, "variant");
  return text(j, "kernel") + (variant.empty() ? "" : " (" + variant + ")");
}

std::string number(const ordered_json& g, const char* key, double scale, const char* form = "{:.3f}") {
  return g.contains(key) ? fmt::format(fmt::runtime(form), g[key].get<double>() * scale) : "-";
}

std::string operations_text(const ordered_json& g) {
  if (!g.contains("operations")) return "-";
  return fmt::format("{:.4g}", (g.value("operations", 0.0) + g.value("other_operations", 0.0)) / 1e9);
}

std::string cost_text(const ordered_json& g) {
  std::string s =
      fmt::format("{} MB, {} GFLOP {}", number(g, "bytes", 1e-6), operations_text(g), text(g, "arithmetic"));
  if (g.contains("floor_ms"))
    s += fmt::format(", floor {} ms ({})", number(g, "floor_ms", 1, "{:.4f}"), text(g, "bound"));
  if (g.contains("floor_share"))
    s += fmt::format(", {} of the measured time", number(g, "floor_share", 100, "{:.0f}%"));
  return s;
}

void print_memory_limit(const ordered_json& p) {
  if (!p.contains("memory_limit")) return;
  const auto& left_out = p.value("left_out_for_memory", ordered_json::array());
  std::printf("  memory: %.1f MB of at most %.1f MB; left out for it: %zu\n", p.value("total_bytes", 0.0) / 1e6,
              p.value("memory_limit", 0.0) / 1e6, left_out.size());
  for (const auto& c : left_out)
    std::printf("    %-28s %12.0f bytes  %s\n", kernel_text(c).c_str(), c.value("bytes", 0.0),
                text(c, "onnx_node").c_str());
}

void print_device(const ordered_json& p) {
  if (p.value("device_arena_bytes", 0.0) == 0 && p.value("transfers", 0) == 0) return;
  const auto& waits = p.value("synchronisations", ordered_json::array());
  std::printf(
      "  device: arena %.1f MB, %s transfers, %s times the host waits for sizes, %d segments, %zu synchronisations\n",
      p.value("device_arena_bytes", 0.0) / 1e6, text(p, "transfers").c_str(), text(p, "size_reads").c_str(),
      p.value("segments", 0), waits.size());
  for (const auto& w : waits) {
    std::string nodes;
    for (const auto& node : w.value("onnx_nodes", ordered_json::array()))
      nodes += (nodes.empty() ? "" : ", ") + node.get<std::string>();
    std::printf("    the host waits for %s%s: %s\n", text(w, "op").c_str(),
                nodes.empty() ? "" : fmt::format(" ({})", nodes).c_str(), text(w, "why").c_str());
  }
}

void print_profile(const ordered_json& p) {
  std::printf(
      "\nprofile %s: %s reformats, %s views, %s copies, arena %.1f MB, packed weights %.1f MB, %s groups on reference "
      "kernels\n",
      text(p, "profile").c_str(), text(p, "reformats").c_str(), text(p, "views").c_str(), text(p, "copies").c_str(),
      p.value("arena_bytes", 0.0) / 1e6, p.value("packed_weight_bytes", 0.0) / 1e6,
      text(p, "groups_on_reference_kernels").c_str());
  print_device(p);
  print_memory_limit(p);
  std::printf("  %8s %9s %8s %8s %6s  %-28s %-24s %s\n", "ms", "MB", "GFLOP", "floor ms", "share", "kernel", "output",
              "operators (ONNX node)");
  for (const auto& g : p.value("groups", ordered_json::array())) {
    std::string ops, out;
    for (const auto& op : g.value("ops", ordered_json::array()))
      ops += (ops.empty() ? "" : "+") + op.get<std::string>();
    for (const auto& o : g.value("outputs", ordered_json::array()))
      out += (out.empty() ? "" : " ") + text(o, "shape") + text(o, "layout");
    const auto& origin = g.value("onnx_nodes", ordered_json::array());
    const std::string ms = g.contains("ms") ? fmt::format("{:.3f}", g["ms"].get<double>()) : "";
    std::printf("  %8s %9s %8s %8s %6s  %-28s %-24s %s (%s)\n", ms.c_str(), number(g, "bytes", 1e-6).c_str(),
                operations_text(g).c_str(), number(g, "floor_ms", 1, "{:.4f}").c_str(),
                number(g, "floor_share", 100, "{:.0f}%").c_str(), kernel_text(g).c_str(), out.c_str(), ops.c_str(),
                origin.empty() ? "" : origin[0].get<std::string>().c_str());
  }
}

void print_kernels(const ordered_json& report) {
  for (const auto& p : report.value("profiles", ordered_json::array())) {
    std::printf("\nprofile %s: candidates\n", text(p, "profile").c_str());
    for (const auto& g : p.value("groups", ordered_json::array())) {
      const auto& origin = g.value("onnx_nodes", ordered_json::array());
      std::printf("%s: %s\n", origin.empty() ? text(g, "ops").c_str() : origin[0].get<std::string>().c_str(),
                  cost_text(g).c_str());
      for (const auto& c : g.value("candidates", ordered_json::array()))
        std::printf(
            "  %-28s %-24s %s\n", kernel_text(c).c_str(), text(c, "layouts").c_str(),
            c.contains("ms") ? fmt::format("{:.4g} ms", c["ms"].get<double>()).c_str() : text(c, "refusal").c_str());
      std::printf("  -> %s\n", text(g, "kernel").c_str());
    }
  }
}

void print_summary(const ordered_json& j) {
  std::printf(
      "source    %s (hash %s)\nmade by   fovea %s (%s), format %s\nsize      %.1f MB: structure %.1f kB, weights %.1f "
      "MB; %s nodes\n",
      text(j, "source").c_str(), text(j, "source_hash").c_str(), text(j, "fovea_version").c_str(),
      text(j, "git_hash").c_str(), text(j, "format").c_str(), j.value("file_bytes", 0.0) / 1e6,
      j.value("structure_bytes", 0.0) / 1e3, j.value("weights_bytes", 0.0) / 1e6, text(j, "nodes").c_str());
  for (const char* kind : {"inputs", "outputs"})
    for (const auto& v : j[kind])
      std::printf("%-9s %s: %s%s\n", kind, text(v, "name").c_str(), text(v, "type").c_str(), text(v, "shape").c_str());
  for (const auto& s : j["sizes"])
    if (!s.value("data_dependent", false))
      std::printf("size      %s: %s to %s\n", text(s, "name").c_str(), text(s, "lo").c_str(), text(s, "hi").c_str());
  for (const auto& t : j["targets"])
    std::printf("target    %s (%s), %s, fovea %s, %s threads, profiles %s\n", text(t, "device").c_str(),
                text(t, "features").c_str(), text(t, "libraries").c_str(), text(t, "build").c_str(),
                text(t, "threads").c_str(), t["profiles"].dump().c_str());
  if (!text(j, "card").empty()) std::printf("card\n%s\n", text(j, "card").c_str());
  for (const auto& p : j["report"].value("profiles", ordered_json::array())) print_profile(p);
}

Status run(const Options& o, const CLI::App& verb) {
  if (!o.plan) FOVEA_TRY(refuse_flags(verb, {"--device"}, "goes with --plan: the rest stands in the file"));
  FOVEA_TRY_SET(EngineData e, read_engine(o.engine));
  FOVEA_TRY_SET(EngineSections sections, engine_sections(o.engine));
  if (o.graph) {
    std::printf("%s\n", print(*e.graph).c_str());
    if (e.preprocess) std::printf("%s\n", print(*e.preprocess).c_str());
    return {};
  }
  if (o.plan) {
    FOVEA_TRY_SET(auto device, open_one_device(o.device));
    for (const EngineTarget& t : e.targets)
      for (const Recipe& r : t.recipes) {
        FOVEA_TRY_SET(Assignment a, from_recipe(*e.graph, r, device.get()));
        FOVEA_TRY_SET(Plan p, build_plan(*e.graph, std::move(a)));
        std::printf("%s\n", to_string(p).c_str());
      }
    return {};
  }
  const ordered_json j = describe(e, sections);
  if (j["report"].is_discarded()) return invalid_model("{}: its report is no JSON", o.engine);
  if (o.json) std::printf("%s\n", j.dump(1).c_str());
  else if (o.kernels) print_kernels(j["report"]);
  else print_summary(j);
  return {};
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("inspect", "Show what an engine file holds");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_flag("--json", o->json, "Everything, as JSON");
  verb->add_flag("--kernels", o->kernels, "For each group every candidate: its time, or why it refused");
  verb->add_flag("--graph", o->graph, "The graph's text form");
  verb->add_flag("--plan", o->plan, "The steps of a run, for each profile");
  add_device(*verb, o->device);
  verb->callback([o, verb, &action] { action = [o, verb] { return run(*o, *verb); }; });
}

}  // namespace fovea::core::tool
