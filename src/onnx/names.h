// Which names a graph's nodes read and write, and the order that follows from it.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "onnx/onnx.pb.h"

namespace fovea::core {

// The branches of a control-flow node.
std::vector<const onnx::GraphProto*> subgraphs(const onnx::NodeProto& node);
std::vector<onnx::GraphProto*> subgraphs(onnx::NodeProto& node);

// Names that the subgraphs of `node` take from outside, each once, in order of appearance.
std::vector<std::string> captured_names(const onnx::NodeProto& node);

// Indices of the graph's nodes in topological order, the file's own where that is one. Fails on a name written twice,
// on one that nothing writes (and `outside` does not know) and on a cycle, naming nodes.
Result<std::vector<int>> node_order(const onnx::GraphProto& graph,
                                    const std::function<bool(const std::string&)>& outside);

}  // namespace fovea::core
