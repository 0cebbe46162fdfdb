// --verify: holds every pass to the numbers of the graph before it. The imported graph is evaluated once with the
// reference kernels and every value is kept; after a pass only the nodes that changed are evaluated, from kept inputs,
// and where a value of the same name was there before, old and new are compared. The first pass that changes the answer
// is named, with the node, and a repro file is written.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>

#include "ir/graph.h"
#include "passes/pass.h"

namespace fovea::core {

struct CheckOptions {
  // Of floats, relative to the root mean square of what was there before; integers and bools must be equal.
  double tolerance = 1e-5;
  std::string repro;  // the path of the repro file; empty: none is written
  int threads = 1;
};

class Checker {
 public:
  // Evaluates `graph` on `inputs` and keeps every value.
  static Result<std::unique_ptr<Checker>> create(const Graph& graph, std::vector<TensorPtr> inputs,
                                                 const CheckOptions& options = {});

  // For PassOptions::after_pass. An Internal error if the pass changed what the graph computes.
  Status after_pass(const Pass& pass, const Graph& graph);
  int64_t evaluated() const { return evaluated_; }  // nodes, since create()
  int64_t compared() const { return compared_; }    // values

 private:
  explicit Checker(const CheckOptions& options) : options_(options) {}
  Status node(const Pass& pass, const Node& node);
  Status compare(const Pass& pass, const Node& node, std::span<const TensorPtr> inputs, const Value& value,
                 TensorPtr result);
  Status outputs(const Pass& pass, const Graph& graph);
  std::string write_repro(const Node& node, std::span<const TensorPtr> inputs, const Tensor& before) const;
  TensorPtr kept(const Value* value) const;

  CheckOptions options_;
  std::unordered_map<std::string, TensorPtr> values_;        // by name: what it was when it first appeared
  std::unordered_map<std::string, std::string> signatures_;  // by name: the node that made it
  std::vector<TensorPtr> inputs_;
  std::unordered_map<std::string, TensorPtr> outputs_;  // by the name users know
  int64_t evaluated_ = 0, compared_ = 0;
};

// Where two results of one value differ by more than the tolerance: "element 7: expected 1.5, found 2", or empty.
std::string difference(const Tensor& expected, const Tensor& found, double tolerance);

}  // namespace fovea::core
