#include "passes/check.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/file.h"
#include "interpreter/interpreter.h"
#include "ir/text.h"

namespace fovea::core {
namespace {

// What a node is, in words: the same words, the same result, if its inputs' names still mean the same.
std::string signature(const Node& node) {
  PrintOptions options;
  options.origin = false;
  std::string s = print(node, options);
  s = s.substr(0, s.find(" : "));  // types may have been sharpened
  for (const auto& region : node.regions) s += print(*region, options);
  for (const Value* v : node.inputs)
    if (v && v->is_constant()) s += fmt::format(" {:x}", digest(*v->constant));
  return s;
}

// What the outputs need. Dead nodes are not evaluated, and their names are free for other meanings.
std::unordered_set<const Value*> live_values(const Graph& graph) {
  std::unordered_set<const Value*> live(graph.outputs.begin(), graph.outputs.end());
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    bool needed = !(*it)->op->pure;
    for (const Value* v : (*it)->outputs) needed |= live.contains(v);
    if (needed) live.insert((*it)->inputs.begin(), (*it)->inputs.end());
  }
  return live;
}

bool both_nan_or_equal(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

std::string difference(const Tensor& expected, const Tensor& found, double tolerance) {
  if (expected.dtype() != found.dtype())
    return fmt::format("expected {}, found {}", to_string(expected.dtype()), to_string(found.dtype()));
  if (expected.dims() != found.dims())
    return fmt::format("expected shape [{}], found [{}]", fmt::join(expected.dims(), ","),
                       fmt::join(found.dims(), ","));
  if (expected.same_as(found)) return "";
  const std::vector<double> a = expected.to_doubles(), b = found.to_doubles();
  if (a.empty()) return "the elements differ";
  double squares = 0;
  size_t finite = 0;
  for (double v : a)
    if (std::isfinite(v)) squares += v * v, ++finite;
  const double allowed =
      is_float(expected.dtype()) && finite ? tolerance * std::sqrt(squares / static_cast<double>(finite)) : 0;
  size_t worst = a.size();
  double most = allowed;
  for (size_t i = 0; i < a.size(); ++i) {
    if (both_nan_or_equal(a[i], b[i])) continue;
    const double d = std::fabs(a[i] - b[i]);
    if (d <= most) continue;  // false for NaN
    worst = i;
    if (!(d > most)) break;  // a NaN or infinity on one side only: nothing is worse
    most = d;
  }
  if (worst == a.size()) return "";
  return fmt::format("element {}: expected {}, found {} (root mean square {:.3g}, {:.3g} allowed)", worst, a[worst],
                     b[worst], finite ? std::sqrt(squares / static_cast<double>(finite)) : 0.0, allowed);
}

Result<std::unique_ptr<Checker>> Checker::create(const Graph& graph, std::vector<TensorPtr> inputs,
                                                 const CheckOptions& options) {
  std::unique_ptr<Checker> c(new Checker(options));
  GraphOptions evaluate;
  evaluate.keep_all = true, evaluate.threads = options.threads;
  FOVEA_TRY_SET(Evaluation all, evaluate_graph(graph, inputs, evaluate));
  c->inputs_ = std::move(inputs);
  for (const auto& [value, tensor] : all.values) c->values_[value->name] = tensor;
  for (const auto& node : graph.nodes())
    for (const Value* v : node->outputs)
      if (v) c->signatures_[v->name] = signature(*node);
  for (size_t i = 0; i < graph.outputs.size(); ++i) c->outputs_[graph.output_names[i]] = all.outputs[i];
  return c;
}

TensorPtr Checker::kept(const Value* value) const {
  if (!value) return nullptr;
  if (value->constant) return value->constant;
  auto it = values_.find(value->name);
  return it == values_.end() ? nullptr : it->second;
}

Status Checker::after_pass(const Pass& pass, const Graph& graph) {
  for (size_t i = 0; i < graph.inputs.size() && i < inputs_.size(); ++i) values_[graph.inputs[i]->name] = inputs_[i];
  const auto live = live_values(graph);
  // A constant may have taken the name of what it is the result of.
  for (const auto& v : graph.values()) {
    if (!v->constant || !live.contains(v.get())) continue;
    auto it = values_.find(v->name);
    if (it != values_.end() && it->second != v->constant) {
      if (std::string d = difference(*it->second, *v->constant, options_.tolerance); !d.empty())
        return internal_error("--verify: pass '{}' changed the value '{}', a constant now: {}", pass.name, v->name, d);
      ++compared_;
    }
    values_[v->name] = v->constant;
  }
  for (const auto& n : graph.nodes()) {
    bool needed = false;
    for (const Value* v : n->outputs) needed |= v && live.contains(v);
    if (needed) FOVEA_TRY(node(pass, *n));
  }
  return outputs(pass, graph);
}

Status Checker::node(const Pass& pass, const Node& node) {
  const std::string words = signature(node);
  bool changed = false;
  for (const Value* v : node.outputs) {
    if (!v) continue;
    auto it = signatures_.find(v->name);
    changed |= it == signatures_.end() || it->second != words || !values_.contains(v->name);
  }
  if (!changed) return {};
  std::vector<TensorPtr> inputs;
  for (const Value* v : node.inputs) inputs.push_back(kept(v));
  EvaluateOptions evaluate;
  evaluate.threads = options_.threads;
  FOVEA_TRY_SET(std::vector<TensorPtr> results, evaluate_node(node, inputs, evaluate));
  ++evaluated_;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!node.outputs[i]) continue;
    FOVEA_TRY(compare(pass, node, inputs, *node.outputs[i], results[i]));
    signatures_[node.outputs[i]->name] = words;
  }
  return {};
}

// Old and new meet where the name was there before; what was there stays, so that rounding does not add up over passes.
Status Checker::compare(const Pass& pass, const Node& node, std::span<const TensorPtr> inputs, const Value& value,
                        TensorPtr result) {
  auto [it, fresh] = values_.emplace(value.name, result);
  if (fresh) return {};
  ++compared_;
  const std::string d = difference(*it->second, *result, options_.tolerance);
  if (d.empty()) return {};
  return internal_error("--verify: pass '{}' changed the value '{}' of {}: {}{}", pass.name, value.name, node.label(),
                        d, write_repro(node, inputs, *it->second));
}

Status Checker::outputs(const Pass& pass, const Graph& graph) {
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    auto before = outputs_.find(graph.output_names[i]);
    TensorPtr now = kept(graph.outputs[i]);
    if (before == outputs_.end() || !now)
      return internal_error("--verify: pass '{}' lost the output '{}'", pass.name, graph.output_names[i]);
    if (std::string d = difference(*before->second, *now, options_.tolerance); !d.empty())
      return internal_error("--verify: pass '{}' changed the output '{}': {}", pass.name, graph.output_names[i], d);
  }
  return {};
}

// A graph of the one node, its inputs constants, with what was there before beside what it computes now.
std::string Checker::write_repro(const Node& node, std::span<const TensorPtr> inputs, const Tensor& before) const {
  if (options_.repro.empty() || !node.regions.empty()) return "";
  Graph g("repro");
  std::vector<Value*> in;
  for (size_t i = 0; i < inputs.size(); ++i)
    in.push_back(inputs[i] ? g.add_constant(inputs[i], node.inputs[i]->name) : nullptr);
  Node* copy = g.add_node(node.op, node.attrs, std::move(in), 0);
  copy->origin = node.origin;
  for (const Value* v : node.outputs) {
    Value* out = g.add_output(copy, v ? v->name : "");
    if (v) out->dtype = v->dtype;
    g.outputs.push_back(out), g.output_names.push_back(out->name);
  }
  auto expected = Tensor::copy(before.dtype(), before.dims(), before.bytes());
  if (!expected.ok()) return "";
  g.outputs.push_back(g.add_constant(*expected, "expected")), g.output_names.push_back("expected");
  // Types are left out: the parser infers them.
  std::string text = print(g, {.full = true});
  std::string lean;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.find(" = constant ") == std::string::npos && line.find("graph @") == std::string::npos)
      line = line.substr(0, line.find(" : "));
    lean += line + "\n";
    at = end + 1;
  }
  Status s = write_file(options_.repro, lean);
  return s.ok() ? fmt::format("; repro in {}", options_.repro) : fmt::format("; no repro: {}", s.message());
}

}  // namespace fovea::core
