// bench --turns: one run for each line of standard input, so that a script can take turns with other programs.
#include <cstdio>

#include "verbs.h"

namespace fovea::core::tool {

Status take_turns(const Turns& o) {
  FOVEA_TRY_SET(auto engine, open_engine(o.engine, o.device, o.threads, o.verbose));
  const Graph& graph = engine->main().graph();
  FOVEA_TRY_SET(TensorInputs in, read_inputs(graph, o.inputs));
  FOVEA_TRY_SET(auto spec, engine->main().specialise(in.shapes, engine->threads()));
  Executor executor;
  std::vector<TensorRef> out(graph.outputs.size());
  if (!o.output.empty()) FOVEA_TRY(make_folder(o.output));
  FOVEA_TRY(executor.bind(spec));
  FOVEA_TRY(executor.run(in.refs, out));
  if (!o.output.empty()) FOVEA_TRY(write_outputs(o.output, graph, out));
  std::printf("ready\n");
  std::fflush(stdout);
  for (int c = 0; (c = std::getchar()) != EOF;) {
    if (c != '\n') continue;
    const double begin = now_ms();
    FOVEA_TRY(executor.run(in.refs, out));
    std::printf("%.4f\n", now_ms() - begin);
    std::fflush(stdout);
  }
  return {};
}

}  // namespace fovea::core::tool
