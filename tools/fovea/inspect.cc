#include <cstdio>

#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "ir/text.h"
#include "plan/plan.h"
#include "verbs.h"

namespace fovea::tool {
namespace {

struct Options {
  std::string engine;
  bool json = false, graph = false, plan = false, kernels = false;
};

Status run(const Options& o) {
  FOVEA_TRY_SET(EngineData e, read_engine(o.engine));
  if (o.graph) std::printf("%s\n", print(*e.graph).c_str());
  if (o.plan)
    for (const EngineTarget& t : e.targets)
      for (const Recipe& r : t.recipes) {
        FOVEA_TRY_SET(Assignment a, from_recipe(*e.graph, r));
        FOVEA_TRY_SET(Plan p, build_plan(*e.graph, std::move(a)));
        std::printf("%s\n", to_string(p).c_str());
      }
  if (o.json) std::printf("%s\n", nlohmann::json::parse(e.report, nullptr, false).dump(1).c_str());
  return {};
}

}  // namespace

void add_inspect(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("inspect", "Show what an engine file holds");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_flag("--json", o->json, "As JSON");
  verb->add_flag("--graph", o->graph, "The graph's text form");
  verb->add_flag("--plan", o->plan, "The steps of a run");
  verb->callback([o, &action] { action = [o] { return run(*o); }; });
}

}  // namespace fovea::tool
