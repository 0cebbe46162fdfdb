// Infers every value of the graph again. The reader infers as it builds; this is where a graph from elsewhere (a text,
// an engine, declared shapes that were wrong) becomes one that the other passes can rely on.
#include "ir/infer.h"

#include "passes/pass.h"

namespace fovea::core {

Result<bool> infer_pass(Graph& graph, PassContext&) {
  FOVEA_TRY(infer_graph(graph));
  return true;
}

}  // namespace fovea::core
