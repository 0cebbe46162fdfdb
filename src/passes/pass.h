// Passes: Graph -> Graph, one a file. A pass is a function that says whether it changed anything; its header comment
// says why it exists. The driver names, times and verifies passes, infers anew after a change and can leave any of them
// out.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace fovea::core {

// What passes are told, and where they say what they did not do.
struct PassContext {
  // A folded constant may be as large as this, or as several times its inputs.
  int64_t fold_bytes = int64_t{1} << 20;
  int threads = 1;
};

using PassFunction = Result<bool> (*)(Graph& graph, PassContext& context);  // did it change the graph?

struct Pass {
  std::string_view name;  // for --print-ir-after, --disable-pass and reports
  PassFunction run = nullptr;
  std::string_view reason;  // one line: what later stages gain
};

// A stretch of the pipeline: its passes in order, again and again until none of them changes anything if `repeat`.
struct Stage {
  std::string_view name;
  std::span<const Pass> passes;
  bool repeat = false;
};

struct PassReport {
  std::string name;
  int runs = 0, changes = 0;  // how often it ran, how often it changed anything
  double ms = 0;
  int64_t nodes_before = 0, nodes_after = 0;  // at its first run and after its last
};

struct PassOptions : PassContext {
  std::vector<std::string> disabled;  // names of passes
  bool verify = true;                 // the verifier, after every pass that changed something
  int max_rounds = 10;                // of a repeated stage
  // Called after every pass that changed the graph; an error ends the pipeline. --print-ir-after and --verify.
  std::function<Status(const Pass&, const Graph&)> after_pass;
};

// Runs stages on an inferred or uninferred graph. A disabled name that no pass has is an InvalidArgument.
Result<std::vector<PassReport>> run_stages(Graph& graph, std::span<const Stage> stages, const PassOptions& options);

// The pipeline itself (pipeline.cc), with `patterns` where they belong in it.
std::vector<Stage> pipeline(std::span<const Pass> patterns = {});
// The pass of this name in any stage, or null.
const Pass* find_pass(std::span<const Stage> stages, std::string_view name);

Result<bool> infer_pass(Graph& graph, PassContext& context);
Result<bool> fold_constants(Graph& graph, PassContext& context);
Result<bool> inline_branches(Graph& graph, PassContext& context);
Result<bool> sink_constants(Graph& graph, PassContext& context);
Result<bool> merge_equal(Graph& graph, PassContext& context);
Result<bool> remove_dead(Graph& graph, PassContext& context);
Result<bool> remove_no_ops(Graph& graph, PassContext& context);
Result<bool> simplify_reshapes(Graph& graph, PassContext& context);
Result<bool> simplify_transposes(Graph& graph, PassContext& context);
Result<bool> simplify_slices(Graph& graph, PassContext& context);
Result<bool> merge_reductions(Graph& graph, PassContext& context);
Result<bool> fold_affine(Graph& graph, PassContext& context);
Result<bool> fold_bias(Graph& graph, PassContext& context);
Result<bool> join_convolutions(Graph& graph, PassContext& context);
Result<bool> classify(Graph& graph, PassContext& context);

}  // namespace fovea::core
