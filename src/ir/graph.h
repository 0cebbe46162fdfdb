// The graph: values and nodes in topological order, regions for control flow, everything owned by its Graph.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/attrs.h"
#include "ir/expr.h"
#include "ir/op_info.h"
#include "ir/tensor.h"

namespace fovea::core {

class Graph;
struct Node;

// Known elements of a small tensor, row-major; an element that nothing is known of is nullopt. int64, float32, float64,
// bool.
using SymValue = std::vector<std::optional<Expr>>;
using SymValuePtr = std::shared_ptr<const SymValue>;
inline constexpr int64_t kMaxSymElements = 1024;

enum class TypeKind : uint8_t { kTensor, kSequence, kOptional };

// What a value's numbers mean, which decides what they may be stored as.
enum class PrecisionClass : uint8_t { kFeature, kShape, kCoordinate, kScore };

// What a value may be stored as. scale and zero_point: one number, or one a channel of `axis`.
struct Storage {
  DType type = DType::kUndefined;  // undefined: the value's own type
  std::vector<float> scale;
  std::vector<int32_t> zero_point;
  int axis = -1;
  bool tf32 = false;  // with float32: its factors may be rounded to TF32 (10 bits) where a device multiplies them
};

struct Use {
  Node* node;
  int index;
};

struct Value {
  int id = 0;        // unique in the outermost graph's lifetime, never reused
  std::string name;  // the exporter's, or made; unique in its graph
  TypeKind kind = TypeKind::kTensor;
  DType dtype = DType::kUndefined;
  Shape shape;  // valid once shaped
  bool shaped = false;
  SymValuePtr known;   // elements known before any run, or null
  TensorPtr constant;  // a constant has no producer
  PrecisionClass precision = PrecisionClass::kFeature;
  Storage storage;
  Node* producer = nullptr;
  int output_index = 0;
  bool graph_input = false;
  std::vector<Use> uses;  // graph outputs are counted apart (Graph::outputs)
  size_t slot = 0;        // its place in Graph::values()

  bool is_constant() const { return constant != nullptr; }
};

// Which ONNX nodes a node stands for: names as exported ("Conv_12"), or "OpType(first output)" where they had none.
using Origin = std::vector<std::string>;

// A data-dependent size that a node defines: dimension `dim` of output `output`.
struct SizeDefinition {
  SymbolPtr symbol;
  int output = 0, dim = 0;
  Dim bound;  // what it cannot exceed, in sizes known before it
};

struct Node {
  int id = 0;
  const OpInfo* op = nullptr;
  AttrsPtr attrs;
  std::vector<Value*> inputs;   // null: an optional input that is absent
  std::vector<Value*> outputs;  // null: an optional output nobody wants
  // Regions are isolated: what they use from outside comes in through their inputs. The operator's own inputs come
  // first in `inputs`; the captures after them are the inputs of every region, in order.
  std::vector<std::unique_ptr<Graph>> regions;
  int own_inputs = -1;  // with regions: how many of `inputs` are the operator's own; -1 otherwise
  std::vector<SizeDefinition> sizes;
  Origin origin;
  std::list<std::unique_ptr<Node>>::iterator position;

  bool is(std::string_view name) const { return op->name == name; }
  Value* input(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  Value* output(size_t i = 0) const { return i < outputs.size() ? outputs[i] : nullptr; }
  template <typename T>
  const T& as() const {  // attrs must be T: the operator's own struct
    return *static_cast<const T*>(attrs->get(typeid(T)));
  }
  std::string label() const;  // for messages: "Conv '/trunk/conv1/Conv'"
};

class Graph {
 public:
  explicit Graph(std::string name = "main");
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  std::string name;
  std::vector<Value*> inputs;
  std::vector<Value*> outputs;
  std::vector<std::string> output_names;  // the names users know; a value may be output twice, or be an input

  const std::list<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  std::list<std::unique_ptr<Node>>& nodes() { return nodes_; }
  const std::vector<std::unique_ptr<Value>>& values() const { return values_; }  // those alive

  Value* add_input(std::string name, DType dtype, Shape shape);
  Value* add_constant(TensorPtr tensor, std::string name = "");
  // A node before `before` (null: at the end) with `outputs` fresh outputs.
  Node* add_node(const OpInfo* op, AttrsPtr attrs, std::vector<Value*> inputs, int outputs = 1, Node* before = nullptr);
  Value* add_output(Node* node, std::string name = "");  // one more output value of a node
  void set_input(Node* node, size_t index, Value* value);
  void add_node_input(Node* node, Value* value);
  void remove_node_input(Node* node, size_t index);
  // Uses of `from` in nodes and among the graph's outputs become uses of `to`.
  void replace_uses(Value* from, Value* to);
  void erase_node(Node* node);    // its outputs must be unused
  void erase_output(Node* node);  // the last one, which must be unused
  bool erase_unused_constants();  // were there any?
  bool is_output(const Value* value) const;
  bool used(const Value* value) const { return !value->uses.empty() || is_output(value); }
  void move_before(Node* node, Node* before);

  std::string unique_name(std::string base) const;
  void rename(Value* value, std::string name);
  Value* find(const std::string& name) const;

  // Symbols, by name. Regions share their outermost graph's.
  SymbolPtr symbol(const std::string& name) const;
  SymbolPtr declare_symbol(Symbol symbol);  // replaces one of the same name
  SymbolPtr fresh_symbol(std::string_view prefix, int64_t lo, int64_t hi, bool data_dependent);
  const std::vector<SymbolPtr>& symbols() const { return root()->symbols_; }

  // Drops data-dependent symbols that no node defines any more. Values must have been inferred anew.
  void erase_undefined_symbols();

  // A region for `node` of this graph.
  std::unique_ptr<Graph> make_region(std::string name);
  // Moves the nodes and constants of a region of this graph before `before`, `arguments` in place of its inputs;
  // returns what its outputs have become. The region is left empty.
  std::vector<Value*> inline_region(Graph& region, std::span<Value* const> arguments, Node* before);
  void erase_input(size_t index);  // which must be unused
  Graph* parent() const { return parent_; }
  const Graph* root() const { return parent_ ? parent_->root() : this; }
  Graph* root() { return parent_ ? parent_->root() : this; }

  std::unique_ptr<Graph> clone() const;  // deep; constants are shared
  int64_t node_count() const;            // regions included

 private:
  Value* new_value(std::string name, char prefix = 'v');
  void forget(Value* value);

  std::vector<std::unique_ptr<Value>> values_;
  std::unordered_map<std::string, Value*> by_name_;
  std::list<std::unique_ptr<Node>> nodes_;
  std::vector<SymbolPtr> symbols_;
  Graph* parent_ = nullptr;
  int next_id_ = 0;
  mutable std::unordered_map<std::string, int> name_counter_;
};

}  // namespace fovea::core
