// Heads that look at the same features are one convolution: a detector's scores and boxes of a level, 324 and 16
// channels, are 340 in one go, which read their input once and fill a matrix unit where 16 alone leave it empty.
//   Conv(x, v), Conv(x, w) == y[:, :k], y[:, k:], y = Conv(x, concat(v, w)), k the channels of v
// Only where a view follows each of them and nothing else: what an activation or a sum would be fused into stays apart.
#include <cstring>
#include <map>

#include "ir/text.h"
#include "ops/conv.h"
#include "ops/layout.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

bool is_view(const Node& n) { return n.is("Reshape") || n.is("Transpose") || n.is("Flatten"); }

bool head(const Graph& g, const Node& n) {
  if (!n.is("Conv") || n.as<ConvAttrs>().group != 1 || n.inputs[0]->shape.size() != 4) return false;
  const Value *w = n.input(1), *b = n.input(2);
  if (!w || !w->constant || !is_float(w->dtype) || w->constant->count() == 0 || (b && !b->constant)) return false;
  return single_use(g, n.output()) && is_view(*n.output()->uses[0].node) && n.output()->uses[0].index == 0;
}

// Convolutions of one key can be joined.
std::string key_of(const Node& n) {
  const Value* w = n.input(1);
  std::string key =
      fmt::format("{} {} {}", n.inputs[0]->id, to_string(w->dtype), n.input(2) ? to_string(n.input(2)->dtype) : "");
  for (size_t i = 1; i < w->shape.size(); ++i) key += fmt::format(" {}", w->constant->dims()[i]);
  for (const auto& [name, value] : n.op->attrs.to_map(n.attrs.get()))
    key += fmt::format(" {}={}", name, text_detail::attr_text(value));
  return key;
}

// One behind the other along the outermost dimension.
Result<TensorPtr> stacked(std::span<Node* const> nodes, size_t input) {
  Dims dims = nodes[0]->input(input)->constant->dims();
  dims[0] = 0;
  for (const Node* n : nodes) dims[0] += n->input(input)->constant->dims()[0];
  FOVEA_TRY_SET(auto t, Tensor::allocate(nodes[0]->input(input)->dtype, dims));
  std::byte* to = t->mutable_data();
  for (const Node* n : nodes) {
    const auto bytes = n->input(input)->constant->bytes();
    std::memcpy(to, bytes.data(), bytes.size());
    to += bytes.size();
  }
  return TensorPtr(std::move(t));
}

Status join(Graph& g, std::span<Node* const> nodes) {
  Node& first = *nodes[0];
  std::vector<Value*> inputs = {first.inputs[0]};
  for (size_t i : {1, 2}) {
    if (!first.input(i)) continue;
    FOVEA_TRY_SET(TensorPtr t, stacked(nodes, i));
    inputs.push_back(g.add_constant(std::move(t)));
  }
  Node* conv = g.add_node(first.op, first.attrs, std::move(inputs), 1, &first);
  for (const Node* n : nodes) add_origin(*conv, *n);
  FOVEA_TRY(infer_node(g, *conv));
  int64_t channel = 0;
  for (Node* n : nodes) {
    const int64_t begin = channel;
    channel += n->input(1)->constant->dims()[0];
    std::vector<Value*> slice = {conv->output()};
    for (int64_t v : {begin, channel, int64_t{1}}) slice.push_back(int64_constant(g, std::span(&v, 1)));
    FOVEA_TRY_SET(Value * part, insert(g, op_Slice, nullptr, std::move(slice), *n));
    replace(g, n->output(), part, true);
  }
  return {};
}

}  // namespace

Result<bool> join_convolutions(Graph& graph, PassContext&) {
  return for_each_graph(graph, [](Graph& g) -> Result<bool> {
    std::vector<std::string> keys;  // in the graph's order
    std::map<std::string, std::vector<Node*>> joined;
    for (const auto& node : g.nodes()) {
      if (!head(g, *node)) continue;
      auto& nodes = joined[key_of(*node)];
      if (nodes.empty()) keys.push_back(key_of(*node));
      nodes.push_back(node.get());
    }
    bool changed = false;
    for (const std::string& key : keys) {
      const std::vector<Node*>& nodes = joined[key];
      if (nodes.size() < 2) continue;
      FOVEA_TRY(join(g, nodes));
      for (Node* n : nodes) g.erase_node(n);
      changed = true;
    }
    return changed;
  });
}

}  // namespace fovea::core
