// Attributes of a NodeProto as the plain data that import() reads; Constant nodes as tensors.
#pragma once

#include "onnx/tensor_reader.h"
#include "ops/op.h"

namespace fovea::core {

// "Conv 'name'", or "Conv 'first output'" where the node has no name.
std::string node_label(const onnx::NodeProto& node);

// All but graphs, which become branches (read elsewhere).
Status read_attributes(onnx::NodeProto& node, ExternalData& external, AttrMap& to);
// The tensor of a Constant node, whichever attribute holds it.
Result<TensorPtr> read_constant(onnx::NodeProto& node, ExternalData& external);

}  // namespace fovea::core
