#include "interpreter/interpreter.h"

#include <map>

#include "interpreter/node_runner.h"

namespace fovea::core {
namespace {

int64_t bytes_of(const TensorPtr& t) { return t ? static_cast<int64_t>(t->bytes().size()) : 0; }

class Evaluator {
 public:
  explicit Evaluator(const EvaluateOptions& options) : options_(options), runner_(options) {}

  Result<std::vector<TensorPtr>> node(const Node& node, std::span<const TensorPtr> inputs) {
    auto outputs = node.regions.empty() ? runner_.run(node, inputs, used_) : control(node, inputs);
    if (outputs.ok() && options_.observer) FOVEA_TRY(options_.observer(node, *outputs));
    return outputs;
  }

  Result<Evaluation> graph(const Graph& g, std::span<const TensorPtr> inputs, bool keep_all);

 private:
  // Tensors of one graph while it runs; each goes when its last reader has run.
  class Frame;

  Result<std::vector<TensorPtr>> control(const Node& node, std::span<const TensorPtr> inputs);

  const EvaluateOptions& options_;
  NodeRunner runner_;
  int64_t used_ = 0;  // bytes of values alive, of all graphs that are being run
};

class Evaluator::Frame {
 public:
  Frame(Evaluator& evaluator, const Graph& g, bool keep_all) : evaluator_(evaluator), keep_all_(keep_all) {
    for (const Value* v : g.outputs) ++readers_[v];
  }
  ~Frame() { evaluator_.used_ -= bytes_; }

  void set_free(const Value* v, TensorPtr t) { tensors_[v] = std::move(t); }  // not counted: the caller's
  void set(const Value* v, TensorPtr t) {
    if (v->uses.empty() && !keep_all_ && !readers_.contains(v)) return;
    counted_[v] = bytes_of(t), account(bytes_of(t));
    tensors_[v] = std::move(t);
  }
  TensorPtr get(const Value* v) const {
    if (v->constant) return v->constant;
    auto it = tensors_.find(v);
    return it == tensors_.end() ? nullptr : it->second;
  }
  void read(const Node& node) {
    for (const Value* v : node.inputs) {
      if (!v || v->is_constant() || keep_all_) continue;
      if (++reads_[v] < v->uses.size() || readers_.contains(v)) continue;
      if (auto it = counted_.find(v); it != counted_.end()) account(-it->second), counted_.erase(it);
      tensors_.erase(v);
    }
  }
  std::unordered_map<const Value*, TensorPtr> take() { return std::move(tensors_); }

 private:
  void account(int64_t bytes) { bytes_ += bytes, evaluator_.used_ += bytes; }

  Evaluator& evaluator_;
  bool keep_all_;
  int64_t bytes_ = 0;
  std::unordered_map<const Value*, TensorPtr> tensors_;
  std::unordered_map<const Value*, int64_t> counted_;
  std::unordered_map<const Value*, size_t> reads_, readers_;  // readers_: of the graph's outputs
};

// The input is what the graph declares: its type, its rank, its constant sizes, one value for each symbol.
Status check_input(const Value& v, const TensorPtr& t, std::map<std::string, int64_t>& symbols) {
  if (!t) return invalid_argument("input '{}' is missing", v.name);
  if (t->dtype() != v.dtype)
    return invalid_argument("input '{}': expected {}, found {}", v.name, to_string(v.dtype), to_string(t->dtype()));
  auto wrong = [&] {
    return invalid_argument("input '{}': expected shape {}, found [{}]", v.name, to_string(v.shape),
                            fmt::join(t->dims(), ","));
  };
  if (t->dims().size() != v.shape.size()) return wrong();
  for (size_t d = 0; d < v.shape.size(); ++d) {
    const Dim& want = v.shape[d];
    const int64_t size = t->dims()[d];
    if (want.op() == ExprOp::kSymbol && symbols.emplace(want.symbol()->name, size).first->second != size)
      return wrong();
    if (want.is_const() && want.int_value() != size) return wrong();
  }
  return {};
}

Result<Evaluation> Evaluator::graph(const Graph& g, std::span<const TensorPtr> inputs, bool keep_all) {
  Frame frame(*this, g, keep_all);
  for (size_t i = 0; i < g.inputs.size(); ++i) frame.set_free(g.inputs[i], inputs[i]);
  for (const auto& n : g.nodes()) {
    std::vector<TensorPtr> in;
    for (size_t i = 0; i < n->inputs.size(); ++i) {
      in.push_back(n->inputs[i] ? frame.get(n->inputs[i]) : nullptr);
      if (n->inputs[i] && !in.back())
        return internal_error("{}: input {} '{}' has not been computed", n->label(), i, n->inputs[i]->name);
    }
    FOVEA_TRY_SET(auto out, node(*n, in));
    frame.read(*n);
    for (size_t i = 0; i < n->outputs.size(); ++i)
      if (n->outputs[i]) frame.set(n->outputs[i], std::move(out[i]));
  }
  Evaluation result;
  for (const Value* v : g.outputs) {
    result.outputs.push_back(frame.get(v));
    if (!result.outputs.back()) return internal_error("output '{}' has not been computed", v->name);
  }
  if (!keep_all) return result;
  result.values = frame.take();
  for (const auto& v : g.values())
    if (v->constant) result.values[v.get()] = v->constant;
  return result;
}

Result<std::vector<TensorPtr>> Evaluator::control(const Node& node, std::span<const TensorPtr> inputs) {
  if (!node.is("If")) return unsupported("{}: the interpreter does not run it", node.label());
  const TensorPtr& condition = inputs[0];
  if (!condition || condition->dtype() != DType::kBool || condition->count() != 1)
    return invalid_argument("{}: expected 1 condition of bool, found [{}]", node.label(),
                            condition ? fmt::to_string(fmt::join(condition->dims(), ",")) : "none");
  const Graph& region = *node.regions[condition->as<bool>()[0] ? 0 : 1];
  FOVEA_TRY_SET(Evaluation e, graph(region, inputs.subspan(static_cast<size_t>(node.own_inputs)), false));
  return std::move(e.outputs);
}

}  // namespace

Result<std::vector<TensorPtr>> evaluate_node(const Node& node, std::span<const TensorPtr> inputs,
                                             const EvaluateOptions& options) {
  if (inputs.size() != node.inputs.size())
    return internal_error("{}: expected {} inputs, found {}", node.label(), node.inputs.size(), inputs.size());
  return Evaluator(options).node(node, inputs);
}

Result<Evaluation> evaluate_graph(const Graph& graph, std::span<const TensorPtr> inputs, const GraphOptions& options) {
  if (inputs.size() != graph.inputs.size())
    return invalid_argument("expected {} inputs, found {}", graph.inputs.size(), inputs.size());
  std::map<std::string, int64_t> symbols;
  for (size_t i = 0; i < inputs.size(); ++i) FOVEA_TRY(check_input(*graph.inputs[i], inputs[i], symbols));
  return Evaluator(options).graph(graph, inputs, options.keep_all);
}

}  // namespace fovea::core
