// Says what each value's numbers mean, from the operators of detection backwards: boxes that Nms or RoiAlign reads are
// coordinates, what it ranks them by are scores, and integers that only sizes and indices are made of are shapes. The
// rest are features, the only class that precision may store in less than float32 on its own.
#include <unordered_set>

#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea {
namespace {

// Operators behind which numbers are features whatever they become: reading on past them would class the whole network.
bool ends_class(const Node& node) {
  constexpr std::string_view kNames[] = {"Conv", "ConvTranspose", "MatMul", "Gemm", "Relu", "BatchNormalization", "MaxPool", "AveragePool", "RoiAlign"};
  return std::find(std::begin(kNames), std::end(kNames), node.op->name) != std::end(kNames);
}

// The inputs of `node` whose elements its outputs are made of: not indices, conditions or shapes.
bool carries(const Node& node, size_t input) {
  if (is_integer(node.inputs[input]->dtype) || node.inputs[input]->dtype == DType::kBool) return false;
  return !node.is("Nms");
}

void spread(Value* v, PrecisionClass precision) {
  std::vector<Value*> work = {v};
  while (!work.empty()) {
    Value* next = work.back();
    work.pop_back();
    if (!next || next->precision != PrecisionClass::kFeature || !is_float(next->dtype)) continue;
    // The convolution's own result stays a feature: what its consumers make of it is what must be exact.
    if (next->producer && ends_class(*next->producer)) continue;
    next->precision = precision;
    if (!next->producer) continue;
    const Node& node = *next->producer;
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (node.inputs[i] && carries(node, i)) work.push_back(node.inputs[i]);
  }
}

Result<bool> classify_graph(Graph& g) {
  for (const auto& v : g.values()) v->precision = PrecisionClass::kFeature;
  for (const auto& v : g.values())
    if (is_integer(v->dtype) || (fully_known(v.get()) && !v->is_constant())) v->precision = PrecisionClass::kShape;
  for (const auto& node : g.nodes()) {
    auto mark = [&](Value* v, PrecisionClass c) {
      if (v) spread(v, c);
    };
    if (node->is("Nms")) mark(node->input(0), PrecisionClass::kCoordinate), mark(node->input(1), PrecisionClass::kScore);
    if (node->is("DecodeBoxes")) {
      mark(node->output(), PrecisionClass::kCoordinate);
      for (Value* v : node->inputs) mark(v, PrecisionClass::kCoordinate);
    }
    if (node->is("RoiAlign")) mark(node->input(1), PrecisionClass::kCoordinate);
    if (node->is("Softmax") || node->is("TopK")) mark(node->output(), PrecisionClass::kScore);
  }
  return true;
}

}  // namespace

Result<bool> classify(Graph& graph, PassContext&) { return for_each_graph(graph, classify_graph); }

}  // namespace fovea
