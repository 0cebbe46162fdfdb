// Sizes of a graph's values for one set of input shapes. A data-dependent size counts as the most it can be.
#pragma once

#include <map>

#include "ir/graph.h"

namespace fovea::core {

using SymbolValues = std::map<std::string, int64_t>;  // "n" -> 8

class Sizes {
 public:
  // `values` must bind every symbol that is not data-dependent; each is checked against its bounds.
  static Result<Sizes> make(const Graph& graph, const SymbolValues& values);

  // The largest the expression can be: its value, where nothing in it depends on data. kUnbounded if there is no limit.
  int64_t upper(const Dim& dim) const;
  std::vector<int64_t> upper(const Shape& shape) const;
  // The most a data-dependent symbol can be for these shapes.
  int64_t capacity(const std::string& symbol) const;
  const SymbolValues& values() const { return values_; }

 private:
  void add_regions(const Graph& graph);
  SymbolValues values_;
  std::map<std::string, SymbolPtr> bounded_;
};

// The symbols' values that make the graph's inputs have these shapes; an error names input, dimension, expected and
// found.
Result<SymbolValues> bind_inputs(const Graph& graph, std::span<const std::vector<int64_t>> shapes);

}  // namespace fovea::core
