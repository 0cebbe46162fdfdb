// Says what each value's numbers mean, from the operators of detection backwards: boxes that Nms or RoiAlign reads are
// coordinates, what it ranks them by are scores, and integers that only sizes and indices are made of are shapes. The
// rest are features, the only class that precision may store in less than float32 on its own.
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

// Operators behind which numbers are features whatever they become: reading on past them would class the whole network.
bool ends_class(const Node& node) {
  constexpr std::string_view kNames[] = {"Conv",    "ConvTranspose", "MatMul",  "Gemm", "Relu", "BatchNormalization",
                                         "MaxPool", "AveragePool",   "RoiAlign"};
  return std::find(std::begin(kNames), std::end(kNames), node.op->name) != std::end(kNames);
}

// The inputs of `node` whose elements its outputs are made of: not indices, conditions or shapes.
bool carries(const Node& node, size_t input) {
  if (is_integer(node.inputs[input]->dtype) || node.inputs[input]->dtype == DType::kBool) return false;
  return !node.is("Nms");
}

class Classifier {
 public:
  explicit Classifier(Graph& graph) { collect(graph, nullptr); }

  void run() {
    for (const auto& [graph, node] : graphs_) defaults(*graph);
    for (const auto& [graph, node] : graphs_)
      for (const auto& n : graph->nodes()) from_detection(*graph, *n);
  }

 private:
  void collect(Graph& graph, Node* owner) {
    graphs_.emplace_back(&graph, owner);
    for (const auto& node : graph.nodes())
      for (const auto& region : node->regions) collect(*region, node.get());
  }

  static void defaults(Graph& g) {
    for (const auto& v : g.values()) {
      const bool shape = is_integer(v->dtype) || (fully_known(v.get()) && !v->is_constant());
      v->precision = shape ? PrecisionClass::kShape : PrecisionClass::kFeature;
    }
  }

  void from_detection(Graph& g, const Node& node) {
    auto mark = [&](Value* v, PrecisionClass c) {
      if (v) spread(g, v, c);
    };
    if (node.is("Nms")) mark(node.input(0), PrecisionClass::kCoordinate), mark(node.input(1), PrecisionClass::kScore);
    if (node.is("DecodeBoxes")) {
      mark(node.output(), PrecisionClass::kCoordinate);
      for (Value* v : node.inputs) mark(v, PrecisionClass::kCoordinate);
    }
    if (node.is("RoiAlign")) mark(node.input(1), PrecisionClass::kCoordinate);
    if (node.is("Softmax") || node.is("TopK")) mark(node.output(), PrecisionClass::kScore);
  }

  void spread(Graph& start, Value* from, PrecisionClass precision) {
    std::vector<std::pair<Graph*, Value*>> work = {{&start, from}};
    while (!work.empty()) {
      auto [g, v] = work.back();
      work.pop_back();
      if (!v || v->precision != PrecisionClass::kFeature || !is_float(v->dtype)) continue;
      // The convolution's own result stays a feature: what its consumers make of it is what must be exact.
      if (v->producer && ends_class(*v->producer)) continue;
      v->precision = precision;
      if (v->producer) {
        into(*v->producer, v->output_index, g, work);
      } else if (v->graph_input) {
        if (auto [outer, value] = captured(g, v); value) work.emplace_back(outer, value);
      }
    }
  }

  // What an output is made of: inputs, or what the regions give.
  static void into(Node& node, int output, Graph* g, std::vector<std::pair<Graph*, Value*>>& work) {
    for (const auto& region : node.regions)
      if (static_cast<size_t>(output) < region->outputs.size())
        work.emplace_back(region.get(), region->outputs[static_cast<size_t>(output)]);
    for (size_t i = 0; i < node.inputs.size() && node.regions.empty(); ++i)
      if (node.inputs[i] && carries(node, i)) work.emplace_back(g, node.inputs[i]);
  }

  // What a region's input is outside.
  std::pair<Graph*, Value*> captured(const Graph* region, const Value* input) const {
    auto it = std::find_if(graphs_.begin(), graphs_.end(), [&](const auto& entry) { return entry.first == region; });
    Node* node = it == graphs_.end() ? nullptr : it->second;
    if (!node) return {nullptr, nullptr};
    const auto index =
        static_cast<size_t>(std::find(region->inputs.begin(), region->inputs.end(), input) - region->inputs.begin());
    const size_t from_end = region->inputs.size() - index;
    if (from_end > node->inputs.size() - static_cast<size_t>(node->own_inputs)) return {nullptr, nullptr};
    return {region->parent(), node->inputs[node->inputs.size() - from_end]};
  }

  std::vector<std::pair<Graph*, Node*>> graphs_;  // every region with the node that has it
};

}  // namespace

Result<bool> classify(Graph& graph, PassContext&) {
  Classifier(graph).run();
  return true;
}

}  // namespace fovea::core
