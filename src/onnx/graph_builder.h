// ModelProto -> Graph: names to values, scopes, nodes through their operators' import().
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "onnx/reader.h"
#include "onnx/tensor_reader.h"
#include "ops/op.h"

namespace fovea::core {

class GraphBuilder {
 public:
  GraphBuilder(onnx::ModelProto& model, ExternalData& external) : model_(model), external_(external) {}
  Result<std::unique_ptr<Graph>> build(const ReadOptions& options);

 private:
  // Names that a node may read. A scope without a parent is isolated; one with a parent shares its graph.
  struct Scope {
    Graph& graph;
    const Scope* parent = nullptr;
    std::unordered_map<std::string, Value*> values;
    Value* find(const std::string& name) const;
  };

  Status add_initializers(onnx::GraphProto& proto, Scope& scope);
  Status add_nodes(onnx::GraphProto& proto, Scope& scope);
  Status add_node(onnx::NodeProto& proto, Scope& scope);
  Status add_constant(onnx::NodeProto& proto, Scope& scope);
  Status import(OnnxNode& node, const OpDef& def, Scope& scope);
  Status set_outputs(const onnx::GraphProto& proto, Scope& scope);
  Result<std::vector<Value*>> inputs_of(const onnx::NodeProto& proto, const Scope& scope);

  Status add_branches(onnx::NodeProto& proto, Scope& scope, OnnxNode& node);
  Result<std::unique_ptr<Graph>> build_branch(onnx::GraphProto& proto, const std::vector<std::string>& names,
                                              const OnnxNode& node, Scope& scope);
  Status inline_branch(onnx::NodeProto& proto, onnx::GraphProto& branch, Scope& scope);

  void define(Scope& scope, const std::string& name, Value* value);

  onnx::ModelProto& model_;
  ExternalData& external_;
  std::unordered_set<const Value*> named_;  // values that have an exporter's name already
};

}  // namespace fovea::core
