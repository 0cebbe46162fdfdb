// ONNX file -> Graph. The reader knows protobuf, scopes and symbols; what an operator means stands in ops/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "ir/graph.h"

namespace fovea::core {

// Of the default domain; the newest is the pinned onnx package's.
inline constexpr int64_t kOldestOpset = 11, kNewestOpset = 28;

// What a size of an input may be. `symbol` is its name in the graph or, as well, the model's own dim_param.
struct SymbolBounds {
  std::string symbol;
  int64_t lo = 1, hi = 1;
};

struct ReadOptions {
  // In place of the defaults: 1..1024 for the batch (axis 0 of rank 4), 1..8192 for every other size.
  std::vector<SymbolBounds> bounds;
};

// Where a graph comes from, for the engine's provenance.
struct ModelInfo {
  uint64_t hash = 0;  // XXH3 of the file's bytes and of the external data that it refers to, in order
  int64_t opset = 0, ir_version = 0;
  std::string producer;  // "pytorch 2.6.0"
};

Result<std::unique_ptr<Graph>> read_onnx(const std::string& path, const ReadOptions& options = {},
                                         ModelInfo* info = nullptr);
// A model in memory; external data is looked for in `folder` (none allowed where it is empty). `name` is for messages.
Result<std::unique_ptr<Graph>> read_onnx_bytes(Bytes bytes, const std::string& name, const std::string& folder,
                                               const ReadOptions& options = {}, ModelInfo* info = nullptr);

}  // namespace fovea::core
