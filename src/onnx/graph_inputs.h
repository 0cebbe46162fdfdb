// Declared inputs -> shapes whose unknown sizes are symbols with bounds.
#pragma once

#include "ir/graph.h"
#include "onnx/onnx.pb.h"
#include "onnx/reader.h"

namespace fovea::core {

// Adds the inputs that no initializer of `proto` gives to `graph`, in order.
Status add_graph_inputs(const onnx::GraphProto& proto, const ReadOptions& options, Graph& graph);

}  // namespace fovea::core
