// For tests: small models written with protobuf.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "onnx/onnx.pb.h"
#include "onnx/reader.h"

namespace fovea::core::test {

struct NodeSpec {
  std::string op;
  std::vector<std::string> inputs, outputs;
  std::string name = "";
  std::string domain = "";
};

inline onnx::NodeProto* add_node(onnx::GraphProto& g, const NodeSpec& spec) {
  auto* n = g.add_node();
  n->set_op_type(spec.op);
  for (const auto& i : spec.inputs) n->add_input(i);
  for (const auto& o : spec.outputs) n->add_output(o);
  if (!spec.name.empty()) n->set_name(spec.name);
  if (!spec.domain.empty()) n->set_domain(spec.domain);
  return n;
}

// A size: a number, "name" or "" for one that the model says nothing of.
struct Size {
  Size(int n) : value(n) {}                                   // NOLINT: implicit on purpose
  Size(int64_t n) : value(n) {}                               // NOLINT
  Size(const char* s) : value(0), name(s), symbolic(true) {}  // NOLINT
  int64_t value;
  std::string name;
  bool symbolic = false;
};

inline onnx::ValueInfoProto* add_input(onnx::GraphProto& g, const std::string& name, std::vector<Size> sizes,
                                       int type = onnx::TensorProto::FLOAT) {
  auto* v = g.add_input();
  v->set_name(name);
  auto* t = v->mutable_type()->mutable_tensor_type();
  t->set_elem_type(type);
  t->mutable_shape();
  for (const Size& s : sizes) {
    auto* d = t->mutable_shape()->add_dim();
    if (!s.symbolic) d->set_dim_value(s.value);
    else if (!s.name.empty()) d->set_dim_param(s.name);
  }
  return v;
}

inline void add_output(onnx::GraphProto& g, const std::string& name) { g.add_output()->set_name(name); }

inline onnx::ModelProto empty_model(int64_t opset = 17) {
  onnx::ModelProto m;
  m.set_ir_version(8);
  m.set_producer_name("test");
  auto* o = m.add_opset_import();
  o->set_version(opset);
  m.mutable_graph()->set_name("g");
  return m;
}

// x -> nodes -> y
inline onnx::ModelProto chain(std::vector<Size> sizes, std::initializer_list<NodeSpec> nodes) {
  onnx::ModelProto m = empty_model();
  add_input(*m.mutable_graph(), "x", std::move(sizes));
  for (const auto& n : nodes) add_node(*m.mutable_graph(), n);
  add_output(*m.mutable_graph(), "y");
  return m;
}

inline onnx::TensorProto* add_initializer(onnx::GraphProto& g, const std::string& name, std::vector<int64_t> dims,
                                          int type) {
  auto* t = g.add_initializer();
  t->set_name(name);
  t->set_data_type(type);
  for (int64_t d : dims) t->add_dims(d);
  return t;
}

inline onnx::AttributeProto* add_attribute(onnx::NodeProto* n, const std::string& name,
                                           onnx::AttributeProto::AttributeType type) {
  auto* a = n->add_attribute();
  a->set_name(name);
  a->set_type(type);
  return a;
}

inline Result<std::unique_ptr<Graph>> read(const std::string& bytes, const ReadOptions& options = {},
                                           ModelInfo* info = nullptr, const std::string& folder = "") {
  return read_onnx_bytes(std::as_bytes(std::span(bytes.data(), bytes.size())), "model.onnx", folder, options, info);
}
inline Result<std::unique_ptr<Graph>> read(const onnx::ModelProto& m, const ReadOptions& options = {},
                                           ModelInfo* info = nullptr, const std::string& folder = "") {
  return read(m.SerializeAsString(), options, info, folder);
}

}  // namespace fovea::core::test
