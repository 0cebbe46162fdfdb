// Inference: what an operator's infer() sees and says, and how it is run over a node or a graph.
#pragma once

#include "ir/graph.h"

namespace fovea::core {

class InferContext {
 public:
  InferContext(Graph& graph, Node& node) : graph_(graph), node_(node) {}

  size_t input_count() const { return node_.inputs.size(); }
  size_t output_count() const { return node_.outputs.size(); }
  bool has(size_t i) const { return node_.input(i) != nullptr; }
  DType dtype(size_t i) const { return node_.inputs[i]->dtype; }
  const Shape& shape(size_t i) const { return node_.inputs[i]->shape; }
  int64_t rank(size_t i) const { return static_cast<int64_t>(shape(i).size()); }
  // Elements known of input i: from a constant or from propagation; null if nothing is known or it is too large.
  SymValuePtr known(size_t i) const;
  // All elements of input i as Dims, if each is known (maybe symbolically); int32 and int64.
  std::optional<std::vector<Dim>> dims(size_t i) const;
  // All elements as constants.
  std::optional<std::vector<int64_t>> ints(size_t i) const;
  TensorPtr constant(size_t i) const { return has(i) ? node_.inputs[i]->constant : nullptr; }
  template <typename T>
  const T& attrs() const {
    return node_.as<T>();
  }
  Node& node() { return node_; }
  Graph& graph() { return graph_; }

  void set_output(size_t i, DType dtype, Shape shape);
  void set_known(size_t i, SymValue value);  // after set_output; ignored if too large or nothing in it is known
  // A size that only the run will tell: dimension `dim` of output `output`. The same node gets the same symbol again.
  // `hi` is an expression, so that storage follows the true sizes of the inputs: at batch 1 a bound n*20480 is 20480.
  Dim data_dependent_size(int output, int dim, int64_t lo, const Dim& hi);

  // axis in [-rank, rank) to [0, rank).
  Result<int64_t> axis(int64_t axis, int64_t rank) const;
  // Errors, all naming the node. "input 1 'indices': expected int64, found float32".
  Status error(std::string_view what) const;
  Status expect_dtype(size_t i, bool ok, std::string_view expected) const;
  Status expect_rank(size_t i, int64_t rank) const;

 private:
  friend Status infer_node(Graph& graph, Node& node);
  Graph& graph_;
  Node& node_;
  std::vector<SizeDefinition> previous_sizes_;  // what the last inference of this node defined
};

// Shape of a, b broadcast together as NumPy does. Two different symbolic sizes are taken as equal only if neither can
// be 1; otherwise the result is a max() that holds for every legal binding. Fails where constants contradict.
Result<Dim> broadcast_dim(const Dim& a, const Dim& b);
Result<Shape> broadcast_shapes(std::span<const Shape> shapes);

// Infers one node (its regions too); the inputs must be shaped.
Status infer_node(Graph& graph, Node& node);
// Infers all nodes in order.
Status infer_graph(Graph& graph);

// The known elements of a constant tensor of int64/int32/bool/float32/float64 (int32 widened), or null if too large.
SymValuePtr known_of(const Tensor& tensor);

}  // namespace fovea::core
