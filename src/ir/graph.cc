#include "ir/graph.h"

#include <algorithm>
#include <functional>
#include <unordered_set>

namespace fovea::core {

std::string Node::label() const {
  if (!origin.empty()) return fmt::format("{} '{}'", op->name, origin.front());
  const Value* first = output(0);
  return fmt::format("{} '{}'", op->name, first ? first->name : "?");
}

Graph::Graph(std::string graph_name) : name(std::move(graph_name)) {}
Graph::~Graph() = default;

std::string Graph::unique_name(std::string base) const {
  if (base.empty()) base = "v";
  if (!by_name_.contains(base)) return base;
  int& counter = name_counter_[base];
  std::string candidate;
  do {
    candidate = base + "." + std::to_string(++counter);
  } while (by_name_.contains(candidate));
  return candidate;
}

Value* Graph::new_value(std::string value_name, char prefix) {
  auto value = std::make_unique<Value>();
  value->id = root()->next_id_++;
  // Made names have the id in them: a name never comes back with another meaning.
  if (value_name.empty()) value_name = fmt::format("{}{}", prefix, value->id);
  value->name = unique_name(std::move(value_name));
  Value* raw = value.get();
  by_name_[raw->name] = raw;
  raw->slot = values_.size();
  values_.push_back(std::move(value));
  return raw;
}

void Graph::forget(Value* value) {
  by_name_.erase(value->name);
  const size_t slot = value->slot;
  values_.back()->slot = slot;
  std::swap(values_[slot], values_.back());
  values_.pop_back();
}

void Graph::rename(Value* value, std::string value_name) {
  by_name_.erase(value->name);
  value->name = unique_name(std::move(value_name));
  by_name_[value->name] = value;
}

Value* Graph::find(const std::string& value_name) const {
  auto it = by_name_.find(value_name);
  return it == by_name_.end() ? nullptr : it->second;
}

Value* Graph::add_input(std::string value_name, DType dtype, Shape shape) {
  Value* v = new_value(std::move(value_name));
  v->dtype = dtype, v->shape = std::move(shape), v->shaped = true, v->graph_input = true;
  inputs.push_back(v);
  return v;
}

Value* Graph::add_constant(TensorPtr tensor, std::string value_name) {
  Value* v = new_value(std::move(value_name), 'c');
  v->dtype = tensor->dtype(), v->shaped = true;
  for (int64_t d : tensor->dims()) v->shape.emplace_back(d);
  v->constant = std::move(tensor);
  return v;
}

Node* Graph::add_node(const OpInfo* op, AttrsPtr attrs, std::vector<Value*> node_inputs, int node_outputs,
                      Node* before) {
  auto node = std::make_unique<Node>();
  Node* raw = node.get();
  raw->id = root()->next_id_++;
  raw->op = op, raw->attrs = std::move(attrs);
  auto where = before ? before->position : nodes_.end();
  raw->position = nodes_.insert(where, std::move(node));
  for (Value* v : node_inputs) add_node_input(raw, v);
  for (int i = 0; i < node_outputs; ++i) add_output(raw);
  return raw;
}

Value* Graph::add_output(Node* node, std::string value_name) {
  Value* v = new_value(std::move(value_name));
  v->producer = node, v->output_index = static_cast<int>(node->outputs.size());
  node->outputs.push_back(v);
  return v;
}

void Graph::add_node_input(Node* node, Value* value) {
  node->inputs.push_back(value);
  if (value) value->uses.push_back({node, static_cast<int>(node->inputs.size()) - 1});
}

namespace {
void drop_use(Value* value, const Node* node, int index) {
  auto it = std::find_if(value->uses.begin(), value->uses.end(),
                         [&](const Use& u) { return u.node == node && u.index == index; });
  if (it != value->uses.end()) value->uses.erase(it);
}
}  // namespace

void Graph::set_input(Node* node, size_t index, Value* value) {
  if (Value* old = node->inputs[index]) drop_use(old, node, static_cast<int>(index));
  node->inputs[index] = value;
  if (value) value->uses.push_back({node, static_cast<int>(index)});
}

void Graph::remove_node_input(Node* node, size_t index) {
  std::vector<Value*> rest = node->inputs;
  for (size_t i = index; i < node->inputs.size(); ++i) set_input(node, i, nullptr);
  node->inputs.resize(index);
  for (size_t i = index + 1; i < rest.size(); ++i) add_node_input(node, rest[i]);
}

void Graph::replace_uses(Value* from, Value* to) {
  if (from == to) return;
  for (const Use& use : std::vector<Use>(from->uses)) set_input(use.node, static_cast<size_t>(use.index), to);
  for (Value*& out : outputs)
    if (out == from) out = to;
}

void Graph::erase_node(Node* node) {
  for (size_t i = 0; i < node->inputs.size(); ++i) set_input(node, i, nullptr);
  for (Value* out : node->outputs)
    if (out) forget(out);
  nodes_.erase(node->position);
}

void Graph::erase_output(Node* node) {
  const auto last = static_cast<int>(node->outputs.size()) - 1;
  std::erase_if(node->sizes, [&](const SizeDefinition& s) { return s.output == last; });
  if (node->outputs.back()) forget(node->outputs.back());
  node->outputs.pop_back();
}

bool Graph::erase_unused_constants() {
  std::vector<Value*> dead;
  for (const auto& v : values_)
    if (v->is_constant() && !used(v.get())) dead.push_back(v.get());
  for (Value* v : dead) forget(v);
  return !dead.empty();
}

bool Graph::is_output(const Value* value) const {
  return std::find(outputs.begin(), outputs.end(), value) != outputs.end();
}

void Graph::move_before(Node* node, Node* before) {
  nodes_.splice(before ? before->position : nodes_.end(), nodes_, node->position);
}

SymbolPtr Graph::symbol(const std::string& symbol_name) const {
  for (const SymbolPtr& s : root()->symbols_)
    if (s->name == symbol_name) return s;
  return nullptr;
}

SymbolPtr Graph::declare_symbol(Symbol declared) {
  auto shared = std::make_shared<const Symbol>(std::move(declared));
  for (SymbolPtr& s : root()->symbols_)
    if (s->name == shared->name) return s = shared;
  root()->symbols_.push_back(shared);
  return shared;
}

SymbolPtr Graph::fresh_symbol(std::string_view prefix, int64_t lo, int64_t hi, bool data_dependent) {
  for (int i = 0;; ++i) {
    std::string candidate = fmt::format("{}{}", prefix, i);
    if (!symbol(candidate)) return declare_symbol({candidate, lo, hi, data_dependent});
  }
}

std::unique_ptr<Graph> Graph::make_region(std::string region_name) {
  auto region = std::make_unique<Graph>(std::move(region_name));
  region->parent_ = this;
  return region;
}

namespace {
void collect_defined(const Graph& graph, std::unordered_set<std::string>& names) {
  for (const auto& node : graph.nodes()) {
    for (const SizeDefinition& s : node->sizes) names.insert(s.symbol->name);
    for (const auto& region : node->regions) collect_defined(*region, names);
  }
}
}  // namespace

void Graph::erase_undefined_symbols() {
  std::unordered_set<std::string> defined;
  collect_defined(*root(), defined);
  std::erase_if(root()->symbols_, [&](const SymbolPtr& s) { return s->data_dependent && !defined.contains(s->name); });
}

void Graph::erase_input(size_t index) {
  Value* v = inputs[index];
  inputs.erase(inputs.begin() + static_cast<std::ptrdiff_t>(index));
  forget(v);
}

std::vector<Value*> Graph::inline_region(Graph& region, std::span<Value* const> arguments, Node* before) {
  std::unordered_map<const Value*, Value*> map;
  for (size_t i = 0; i < region.inputs.size(); ++i) map[region.inputs[i]] = arguments[i];
  auto take = [&](const Value* v) {
    if (!v) return static_cast<Value*>(nullptr);
    Value*& here = map[v];
    if (here) return here;
    here = new_value(v->name);
    const int id = here->id;
    const size_t slot = here->slot;
    std::string unique = std::move(here->name);
    *here = *v;  // type, shape, constant, precision
    here->id = id, here->slot = slot, here->name = std::move(unique);
    here->uses.clear(), here->producer = nullptr;
    return here;
  };
  for (auto& node : region.nodes_) {
    std::vector<Value*> node_inputs;
    for (const Value* v : node->inputs) node_inputs.push_back(take(v));
    Node* moved = add_node(node->op, node->attrs, std::move(node_inputs), 0, before);
    moved->own_inputs = node->own_inputs, moved->sizes = node->sizes, moved->origin = node->origin;
    moved->regions = std::move(node->regions);
    for (auto& inner : moved->regions) inner->parent_ = this;
    for (const Value* v : node->outputs) {
      Value* here = take(v);
      moved->outputs.push_back(here);
      if (here) here->producer = moved;
    }
  }
  std::vector<Value*> results;
  for (const Value* v : region.outputs) results.push_back(take(v));
  region.outputs.clear(), region.output_names.clear(), region.inputs.clear();
  region.nodes_.clear(), region.values_.clear(), region.by_name_.clear();
  return results;
}

std::unique_ptr<Graph> Graph::clone() const {
  auto copy = std::make_unique<Graph>(name);
  copy->symbols_ = symbols_;
  copy->next_id_ = next_id_;
  std::unordered_map<const Value*, Value*> map;
  auto copy_value = [&](const Value* v) {
    auto fresh = std::make_unique<Value>(*v);
    fresh->uses.clear();
    fresh->producer = nullptr;
    Value* raw = fresh.get();
    copy->by_name_[raw->name] = raw;
    raw->slot = copy->values_.size();
    copy->values_.push_back(std::move(fresh));
    map[v] = raw;
    return raw;
  };
  for (const auto& v : values_) copy_value(v.get());
  for (const Value* v : inputs) copy->inputs.push_back(map.at(v));
  for (const auto& node : nodes_) {
    auto fresh = std::make_unique<Node>();
    Node* raw = fresh.get();
    raw->id = node->id, raw->op = node->op, raw->attrs = node->attrs, raw->own_inputs = node->own_inputs;
    raw->sizes = node->sizes, raw->origin = node->origin;
    raw->position = copy->nodes_.insert(copy->nodes_.end(), std::move(fresh));
    for (const Value* v : node->inputs) copy->add_node_input(raw, v ? map.at(v) : nullptr);
    for (const Value* v : node->outputs) {
      raw->outputs.push_back(v ? map.at(v) : nullptr);
      if (v) map.at(v)->producer = raw;
    }
    for (const auto& region : node->regions) {
      raw->regions.push_back(region->clone());
      raw->regions.back()->parent_ = copy.get();
    }
  }
  for (const Value* v : outputs) copy->outputs.push_back(map.at(v));
  copy->output_names = output_names;
  return copy;
}

int64_t Graph::node_count() const {
  int64_t n = 0;
  for (const auto& node : nodes_) {
    ++n;
    for (const auto& region : node->regions) n += region->node_count();
  }
  return n;
}

}  // namespace fovea::core
