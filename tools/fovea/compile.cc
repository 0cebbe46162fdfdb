#include <algorithm>
#include <cstdio>

#include "builder/compile.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

struct Options {
  std::string model, output, card, device, timing_cache, precision = "fp32", timing = "on";
  std::vector<std::string> shapes, disabled, print_after;
  int threads = 0;
  uint64_t memory_limit = 0;
  bool verify = false, verbose = false;
};

Status run(const Options& o) {
  FOVEA_TRY(check_writable(o.output));
  CompileOptions c;
  FOVEA_TRY_SET(c.device, open_one_device(o.device));
  c.precision = *precision_from_string(o.precision);
  c.model = o.model, c.card = o.card, c.threads = o.threads, c.timing_cache = o.timing_cache;
  c.timing = o.timing == "on", c.verify = o.verify, c.repro = o.verify ? o.output + ".repro.txt" : "";
  c.memory_limit = static_cast<int64_t>(std::min<uint64_t>(o.memory_limit, INT64_MAX));
  c.disabled_passes = o.disabled, c.print_ir_after = o.print_after;
  for (const std::string& s : o.shapes) {
    FOVEA_TRY_SET(SymbolValues sizes, parse_sizes(s));
    c.profiles.push_back(std::move(sizes));
  }
  c.print_ir = [](std::string_view pass, const std::string& text) {
    Progress::clear();
    std::printf("# after %.*s\n%s\n", static_cast<int>(pass.size()), pass.data(), text.c_str());
  };
  c.log = stderr_log(o.verbose);
  auto result = [&] {
    Progress progress;
    c.progress = [&](std::string_view what, int done, int total) { progress.show(what, done, total); };
    return compile(c);
  }();
  if (!result.ok()) return result.status();
  FOVEA_TRY(write_engine(o.output, result->engine));
  double total = 0;
  for (const CompileStage& s : result->stages) total += s.ms;
  if (o.verbose)
    for (const CompileStage& s : result->stages) std::fprintf(stderr, "%-10s %8.0f ms\n", s.name.c_str(), s.ms);
  std::fprintf(stderr, "%s: %lld nodes, %zu profiles, %d kernels timed, %.1f s\n", o.output.c_str(),
               static_cast<long long>(result->engine.graph->node_count()), result->engine.targets[0].recipes.size(),
               result->kernels_timed, total / 1e3);
  return {};
}

}  // namespace

void add_compile(CLI::App& app, Action& action) {
  auto o = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("compile", "Compile an ONNX model into an engine file");
  verb->add_option("model", o->model, "The model as exported")->required()->type_name("MODEL.onnx");
  verb->add_option("-o,--output", o->output, "The engine file to write")->required()->type_name("OUT.fov");
  verb->add_option("--card", o->card, "Model card: what pictures need and what the tensors mean")
      ->type_name("CARD.toml");
  verb->add_option("--shapes", o->shapes, "Sizes to choose kernels for; may be given several times")
      ->type_name("n=1")
      ->allow_extra_args(false);
  add_device(*verb, o->device);
  verb->add_option("--precision", o->precision,
                   "fp32; tf32: a GPU may round the factors of products; fp16: features in float16 where a kernel does")
      ->check(CLI::IsMember({"fp32", "tf32", "fp16"}));
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::Range(1, 1024));
  verb->add_option("--timing-cache", o->timing_cache,
                   "Measured times, read and written: the same file gives the same engine")
      ->type_name("FILE");
  verb->add_option("--timing", o->timing, "Measure kernels (on), or choose by estimates (off)")
      ->check(CLI::IsMember({"on", "off"}));
  verb->add_option(
          "--memory-limit", o->memory_limit,
          "Most memory of a run at each of --shapes, workspaces and packed weights included, 400MB for example")
      ->transform(CLI::AsSizeValue(true))
      ->type_name("SIZE");
  verb->add_flag("--verify", o->verify, "Check every pass against the imported graph, with the reference kernels");
  verb->add_option("--disable-pass", o->disabled, "Leave out a pass; may be given several times")
      ->type_name("NAME")
      ->allow_extra_args(false);
  verb->add_option("--print-ir-after", o->print_after, "Print the graph after a pass, after 'import', or after 'all'")
      ->type_name("NAME")
      ->allow_extra_args(false);
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, &action] { action = [o] { return run(*o); }; });
}

}  // namespace fovea::core::tool
