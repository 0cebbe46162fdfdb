// What rewrites share: nodes that are inferred when they are made, names that keep their meaning, constants by their
// numbers.
#pragma once

#include <span>

#include "ir/infer.h"
#include "ops/op.h"

namespace fovea::core {

// Calls rewrite(graph) for `graph` and every region in it; true if any call said so.
Result<bool> for_each_graph(Graph& graph, const std::function<Result<bool>(Graph&)>& rewrite);
// Calls rewrite(graph, node) for each node of the graph and its regions, in order. The node may be erased by the call,
// its neighbours may not.
Result<bool> for_each_node(Graph& graph, const std::function<Result<bool>(Graph&, Node&)>& rewrite);

// A new node before `before`, inferred, with one output.
Result<Value*> insert(Graph& graph, const OpDef& op, AttrsPtr attrs, std::vector<Value*> inputs, Node& before);
Value* int64_constant(Graph& graph, std::span<const int64_t> values);

// `fresh` takes the place of `old`, which is left without uses. If `fresh` is new it takes the name too: in --verify
// and in messages a name means the same numbers before and after a pass.
void replace(Graph& graph, Value* old, Value* fresh, bool is_new);
// What `node` stands for, added to what `to` stands for.
void add_origin(Node& to, const Node& node);

// The value is used once, by a node: what computes it can be changed for that use alone.
bool single_use(const Graph& graph, const Value* value);
// Is every size of a and b the same?
bool same_shape(const Value* a, const Value* b);
// The constant whose elements are all one number, as that number.
std::optional<double> uniform(const Value* value);
std::optional<std::vector<int64_t>> constant_ints(const Value* value);
// All elements of a value, if each is a known constant or expression; floats too.
SymValuePtr fully_known(const Value* value);

// The scale and shift of each channel, rounded once to `type`.
TensorPtr tensor_from_doubles(DType type, Dims dims, std::span<const double> values);

}  // namespace fovea::core
