// Merges what is computed twice: nodes of one operator with equal attributes and the same inputs, equal constants, and
// values whose elements are the same known expressions. NonZero of one mask four times is one NonZero, so that what
// follows agrees on the size it found.
#include <cstring>
#include <unordered_map>

#include "ir/text.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace fovea::core {
namespace {

// Storage and precision are part of what a value is.
bool same_storage(const Value* a, const Value* b) {
  return a->precision == b->precision && a->storage.type == b->storage.type && a->storage.scale == b->storage.scale &&
         a->storage.zero_point == b->storage.zero_point && a->storage.axis == b->storage.axis;
}

void append(std::string& key, const void* p) { key.append(reinterpret_cast<const char*>(&p), sizeof p); }

std::string key_of(const Node& node) {
  std::string key;
  append(key, node.op);
  for (const Value* v : node.inputs) append(key, v);
  for (const Value* v : node.outputs) key += v ? 'o' : '_';
  if (node.op->attrs.to_map && node.attrs)
    for (const auto& [name, value] : node.op->attrs.to_map(node.attrs.get()))
      key += text_detail::attr_text(value) + ";";
  return key;
}

// Elements that are all known as expressions; constants have their own rule.
std::string key_of_known(const Value& v) {
  SymValuePtr known = fully_known(&v);
  if (!known) return "";
  std::string key = std::string(to_string(v.dtype)) + to_string(v.shape) + ":";
  for (const auto& e : *known) key += e->str() + ",";
  return key;
}

bool merge_constants(Graph& g) {
  // By type, shape and a glance at the contents; only those that agree so far are compared whole.
  std::unordered_map<std::string, std::vector<Value*>> buckets;
  std::vector<Value*> constants;
  for (const auto& v : g.values())
    if (v->is_constant() && v->dtype != DType::kString) constants.push_back(v.get());
  std::sort(constants.begin(), constants.end(), [](const Value* a, const Value* b) { return a->id < b->id; });
  bool changed = false;
  for (Value* v : constants) {
    const auto bytes = v->constant->bytes();
    std::string key = std::string(to_string(v->dtype)) + to_string(v->shape);
    constexpr size_t kGlance = 64;
    key.append(reinterpret_cast<const char*>(bytes.data()), std::min(kGlance, bytes.size()));
    std::vector<Value*>& bucket = buckets[key];
    auto same = std::find_if(bucket.begin(), bucket.end(),
                             [&](const Value* o) { return same_storage(o, v) && o->constant->same_as(*v->constant); });
    if (same == bucket.end()) {
      bucket.push_back(v);
    } else if (g.used(v)) {
      replace(g, v, *same, false);
      changed = true;
    }
  }
  return changed;
}

bool merge_outputs(Graph& g, Node& node, Node& first) {
  bool changed = false;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (!node.outputs[i] || !g.used(node.outputs[i])) continue;
    replace(g, node.outputs[i], first.outputs[i], false);
    changed = true;
  }
  if (changed) add_origin(first, node);
  return changed;
}

Result<bool> merge_equal_of(Graph& g) {
  bool changed = merge_constants(g);
  std::unordered_map<std::string, Node*> nodes;
  std::unordered_map<std::string, Value*> known;
  for (const Value* v : g.inputs)
    if (std::string key = key_of_known(*v); !key.empty()) known.emplace(std::move(key), const_cast<Value*>(v));
  for (auto& node : g.nodes()) {
    if (!node->op->pure || !node->regions.empty()) continue;
    auto [it, fresh] = nodes.emplace(key_of(*node), node.get());
    bool storage_agrees = true;
    for (size_t i = 0; i < node->outputs.size() && !fresh; ++i)
      storage_agrees &= !node->outputs[i] || same_storage(node->outputs[i], it->second->outputs[i]);
    if (!fresh && storage_agrees) changed |= merge_outputs(g, *node, *it->second);
    for (Value* v : node->outputs) {
      if (!v || !g.used(v)) continue;
      std::string key = key_of_known(*v);
      if (key.empty()) continue;
      auto [same, first] = known.emplace(std::move(key), v);
      if (first || !same_storage(same->second, v)) continue;
      replace(g, v, same->second, false);
      changed = true;
    }
  }
  return changed;
}

}  // namespace

Result<bool> merge_equal(Graph& graph, PassContext&) { return for_each_graph(graph, merge_equal_of); }

}  // namespace fovea::core
