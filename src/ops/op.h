// The declaration of an operator: one constant `op_Name` in src/ops/<file>.cc and one row in ops.inc.
#pragma once

#include <algorithm>
#include <array>
#include <string>

#include "ir/infer.h"
#include "ir/op_info.h"

namespace fovea::core {

struct OpDef;

// One node of an ONNX file as plain data; the reader fills it, import() turns it into canonical nodes.
struct OnnxNode {
  std::string op_type, domain, name;
  int64_t opset = 0;                 // of the node's domain
  AttrMap attributes;                // ONNX's types: int64_t, double (from float), string, vectors of them, TensorPtr
  std::vector<Value*> inputs;        // null where absent; trailing ones may be missing
  std::vector<std::string> outputs;  // "" where nobody wants it
  struct Branch {
    std::string attribute;          // "then_branch"
    std::unique_ptr<Graph> region;  // its inputs are the captures, in order, after the branch's own inputs
  };
  std::vector<Branch> branches;
  std::vector<Value*> captures;
};

class ImportContext {
 public:
  ImportContext(Graph& graph, OnnxNode& node, const OpDef& def)
      : graph_(graph), node_(node), def_(def), results_(node.outputs.size()) {}

  Graph& graph() { return graph_; }
  OnnxNode& node() { return node_; }
  int64_t opset() const { return node_.opset; }
  size_t input_count() const { return node_.inputs.size(); }
  size_t output_count() const { return node_.outputs.size(); }
  Value* input(size_t i) const { return i < node_.inputs.size() ? node_.inputs[i] : nullptr; }
  bool wants(size_t i) const { return i < node_.outputs.size() && !node_.outputs[i].empty(); }

  const AttrValue* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // An attribute, or `missing` where the node has none. A value of another type is an error at the end of the import.
  int64_t int_attr(std::string_view name, int64_t missing);
  double float_attr(std::string_view name, double missing);
  std::string string_attr(std::string_view name, std::string missing);
  std::vector<int64_t> ints_attr(std::string_view name, std::vector<int64_t> missing = {});
  std::vector<double> floats_attr(std::string_view name, std::vector<double> missing = {});
  TensorPtr tensor_attr(std::string_view name);

  // The operator's struct with every field that the node has an attribute of the same name for (int -> bool and DType,
  // string -> enum, float -> double). Attributes without a field are errors, but for those in `ignored`.
  template <typename T>
  Result<T> read(std::initializer_list<std::string_view> ignored = {});

  Value* constant(TensorPtr tensor) { return graph_.add_constant(std::move(tensor)); }
  Value* ints(const std::vector<int64_t>& values);  // a constant int64 vector
  // Emits a canonical node and infers it at once: its outputs have types and shapes afterwards. Trailing null inputs
  // are dropped.
  Result<Node*> emit(const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs, int outputs = 1);
  Result<Node*> emit(AttrsPtr attrs, std::vector<Value*> inputs, int outputs = 1) {
    return emit(def_, std::move(attrs), std::move(inputs), outputs);
  }
  // What stands for output i of the ONNX node.
  void set_output(size_t i, Value* value) { results_[i] = value; }
  const std::vector<Value*>& results() const { return results_; }

  // "Conv 'name' (opset 17): what"
  Status error(std::string_view what) const;
  Status unsupported(std::string_view what) const;
  const Status& deferred() const { return deferred_; }  // a wrongly typed attribute, found by the readers above
  std::string label() const;

 private:
  Graph& graph_;
  OnnxNode& node_;
  const OpDef& def_;
  std::vector<Value*> results_;
  Status deferred_;
};

struct OpDef {
  OpInfo info;
  // ONNX operators that import() reads; "domain:Name" outside the default domain. Empty entries are unused.
  std::array<std::string_view, 4> onnx{};
  Status (*import)(ImportContext& context) = nullptr;
};

// import() for operators whose inputs are ONNX's in all versions: reads attributes, emits one node, takes all its
// outputs.
template <typename Attrs>
Status import_as_is(ImportContext& c) {
  FOVEA_TRY_SET(Attrs attrs, c.read<Attrs>());
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(std::move(attrs)), c.node().inputs, static_cast<int>(c.output_count())));
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, node->outputs[i]);
  return {};
}
Status import_without_attributes(ImportContext& c);

#define FOVEA_OP(Name, file, family) extern const OpDef op_##Name;
#define FOVEA_CONTROL(Name, file) extern const OpDef op_##Name;
#define FOVEA_IMPORT(Name, file) extern const OpDef op_##Name;
#include "ops/ops.inc"
#undef FOVEA_OP
#undef FOVEA_CONTROL
#undef FOVEA_IMPORT

std::span<const OpDef* const> all_ops();
const OpInfo* find_op(std::string_view name);  // canonical; an OpLookup
const OpDef* find_onnx_op(std::string_view domain, std::string_view op_type);
// Names near a misspelled or unknown one, for messages.
std::string nearest_onnx_op(std::string_view op_type);

// ---- template details
template <typename T>
Result<T> ImportContext::read(std::initializer_list<std::string_view> ignored) {
  T value;
  std::vector<std::string_view> known(ignored);
  Status bad;
  T::fields(value, [&](const char* name, auto& to) {
    known.push_back(name);
    const AttrValue* from = find(name);
    if (!from) return;
    using F = std::decay_t<decltype(to)>;
    bool ok = false;
    if constexpr (std::is_same_v<F, bool>) {
      if (auto* v = std::get_if<int64_t>(from)) to = *v != 0, ok = true;
    } else if constexpr (std::is_same_v<F, DType>) {
      auto* v = std::get_if<int64_t>(from);
      if (auto t = v ? dtype_from_onnx(*v) : std::nullopt) to = *t, ok = true;
    } else {
      ok = attrs_detail::decode(*from, to);
    }
    if (!ok) bad = error(fmt::format("attribute '{}' has a value that is not understood", name));
  });
  if (!bad.ok()) return bad;
  for (const auto& [name, unused] : node_.attributes)
    if (std::find(known.begin(), known.end(), name) == known.end())
      return unsupported(fmt::format("attribute '{}' is not known to fovea", name));
  return value;
}

}  // namespace fovea::core
