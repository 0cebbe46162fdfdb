#include "run.h"

#include "verbs.h"

namespace fovea::core::tool {

namespace {

Status run_tensors(const RunOptions& o) {
  FOVEA_TRY_SET(auto engine, open_engine(o.engine, o.device, o.threads, o.verbose));
  const Graph& graph = engine->main().graph();
  FOVEA_TRY_SET(TensorInputs in, read_inputs(graph, o.inputs));
  FOVEA_TRY_SET(auto spec, engine->main().specialise(in.shapes, engine->threads()));
  Executor executor;
  executor.check_finite = o.check;
  FOVEA_TRY(make_folder(o.output));
  FOVEA_TRY(executor.bind(spec));
  std::vector<TensorRef> out(graph.outputs.size());
  FOVEA_TRY(executor.run(in.refs, out));
  return write_outputs(o.output, graph, out);
}

Status run(const RunOptions& o, const CLI::App& verb) {
  if (!o.pictures.empty() && !o.inputs.empty()) return invalid_argument("give pictures or --input, not both");
  if (!o.inputs.empty()) {
    FOVEA_TRY(refuse_flags(verb, {"--json", "--draw", "--labels", "--min-score", "--batch", "--contexts"},
                           "goes with pictures; with --input the results are tensors, for --output"));
    if (o.output.empty()) return invalid_argument("--input needs --output DIR, where the results go as NAME.npy");
    return run_tensors(o);
  }
  if (o.pictures.empty()) return invalid_argument("expected pictures, or --input NAME=FILE.npy for each input");
  FOVEA_TRY(refuse_flags(verb, {"--output"}, "goes with --input; what pictures give goes to --json and --draw"));
  return run_pictures(o);
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto o = std::make_shared<RunOptions>();
  CLI::App* verb = app.add_subcommand("run", "Run an engine on pictures or on tensors");
  verb->add_option("engine", o->engine, "The engine file")->required()->type_name("ENGINE.fov");
  verb->add_option("pictures", o->pictures, "JPEG or PNG files, or folders of them")->type_name("PICTURE...");
  verb->add_option("--json", o->json, "Write the detections in COCO's result format")->type_name("FILE");
  verb->add_option("--draw", o->draw, "Folder for the pictures with boxes drawn")->type_name("DIR");
  verb->add_option("--labels", o->labels, "COCO labels: print the mean average precision")->type_name("FILE");
  verb->add_option("--min-score", o->min_score, "Objects below it are neither drawn nor counted in the table")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--batch", o->batch, "Pictures in a run")->check(CLI::Range(1, 1 << 20));
  verb->add_option("--contexts", o->contexts, "Batches in flight on each GPU; 3 if not given")
      ->check(CLI::Range(1, 64));
  verb->add_option("--input", o->inputs, "A tensor for an input; one for each")
      ->type_name("NAME=FILE.npy")
      ->allow_extra_args(false);
  verb->add_option("--output", o->output, "Folder for the outputs, written as NAME.npy")->type_name("DIR");
  add_device(*verb, o->device, /*several=*/true);
  verb->add_option("--threads", o->threads, "Threads of a run; all cores if not given")->check(CLI::Range(1, 1024));
  verb->add_flag("--check", o->check, "Stop at the first kernel that gives NaN or infinity, and name its ONNX node");
  verb->add_flag("-v,--verbose", o->verbose, "Say more");
  verb->callback([o, verb, &action] { action = [o, verb] { return run(*o, *verb); }; });
}

}  // namespace fovea::core::tool
