// What of a model fovea does not read, told all at once and before anything is built.
#pragma once

#include "base/status.h"
#include "onnx/onnx.pb.h"

namespace fovea::core {

// Opsets, functions and operators of the whole model, subgraphs included.
Status check_support(const onnx::ModelProto& model);

// Version of a domain that the model imports; 1 where it does not say.
int64_t opset_of(const onnx::ModelProto& model, std::string_view domain);

}  // namespace fovea::core
