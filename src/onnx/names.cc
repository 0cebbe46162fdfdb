#include "onnx/names.h"

#include <algorithm>
#include <unordered_map>

#include "onnx/attributes.h"

namespace fovea::core {
namespace {

class Captures {
 public:
  std::vector<std::string> found;

  // `inner`: the names that the graphs around this one, below the node, define.
  void visit(const onnx::GraphProto& g, std::unordered_set<std::string> inner) {
    for (const auto& t : g.initializer()) inner.insert(t.name());
    for (const auto& v : g.input()) inner.insert(v.name());
    for (const auto& n : g.node()) inner.insert(n.output().begin(), n.output().end());
    for (const auto& n : g.node()) {
      for (const auto& name : n.input()) read(name, inner);
      for (const auto* sub : subgraphs(n)) visit(*sub, inner);
    }
    for (const auto& v : g.output()) read(v.name(), inner);
  }

 private:
  void read(const std::string& name, const std::unordered_set<std::string>& inner) {
    if (!name.empty() && !inner.contains(name) && seen_.insert(name).second) found.push_back(name);
  }
  std::unordered_set<std::string> seen_;
};

struct Dependencies {
  std::vector<std::vector<int>> readers;  // of each node's outputs
  std::vector<int> waiting;               // how many inputs of a node come from nodes that are not placed yet
  bool sorted = true;                     // is the file's order topological already?
};

using Producers = std::unordered_map<std::string, int>;  // -1: an input or initializer

Result<Producers> find_producers(const onnx::GraphProto& g) {
  Producers producers;
  for (const auto& t : g.initializer())
    if (!producers.emplace(t.name(), -1).second) return invalid_model("initializer '{}' is given twice", t.name());
  std::unordered_set<std::string> inputs;
  for (const auto& v : g.input()) {
    if (!inputs.insert(v.name()).second) return invalid_model("input '{}' is given twice", v.name());
    producers.emplace(v.name(), -1);  // an initializer of the same name is its default
  }
  for (int i = 0; i < g.node_size(); ++i)
    for (const auto& name : g.node(i).output())
      if (!name.empty() && !producers.emplace(name, i).second)
        return invalid_model("{}: output '{}' has the name of another value: expected each name to be written once",
                             node_label(g.node(i)), name);
  return producers;
}

Result<Dependencies> find_dependencies(const onnx::GraphProto& g,
                                       const std::function<bool(const std::string&)>& outside) {
  FOVEA_TRY_SET(Producers producers, find_producers(g));
  Dependencies d;
  d.readers.resize(static_cast<size_t>(g.node_size()));
  d.waiting.resize(static_cast<size_t>(g.node_size()));
  for (int i = 0; i < g.node_size(); ++i) {
    const auto& node = g.node(i);
    std::vector<std::string> reads(node.input().begin(), node.input().end());
    for (auto& name : captured_names(node)) reads.push_back(std::move(name));
    for (const std::string& name : reads) {
      if (name.empty()) continue;
      auto from = producers.find(name);
      if (from == producers.end()) {
        if (outside(name)) continue;
        return invalid_model("{}: reads '{}', which no node, input or initializer provides", node_label(node), name);
      }
      if (from->second < 0) continue;
      d.readers[static_cast<size_t>(from->second)].push_back(i);
      ++d.waiting[static_cast<size_t>(i)];
      d.sorted &= from->second < i;
    }
  }
  return d;
}

// A cycle among the nodes that could not be placed. Each of them waits for one that could not be placed either, so
// walking from reader to producer must come back to where it has been.
Status cycle_error(const onnx::GraphProto& g, const Dependencies& d) {
  const size_t count = d.waiting.size();
  std::vector<int> producer(count, -1);
  int at = -1;
  for (size_t i = 0; i < count; ++i) {
    if (d.waiting[i] == 0) continue;
    at = static_cast<int>(i);
    for (int reader : d.readers[i]) producer[static_cast<size_t>(reader)] = at;
  }
  std::vector<int> path, place(count, -1);
  while (place[static_cast<size_t>(at)] < 0) {
    place[static_cast<size_t>(at)] = static_cast<int>(path.size());
    path.push_back(at);
    at = producer[static_cast<size_t>(at)];
  }
  path.erase(path.begin(), path.begin() + place[static_cast<size_t>(at)]);
  std::reverse(path.begin(), path.end());
  constexpr size_t kShown = 6;
  std::string text;
  for (size_t i = 0; i < std::min(path.size(), kShown); ++i) text += node_label(g.node(path[i])) + " -> ";
  if (path.size() > kShown) text += fmt::format("{} more -> ", path.size() - kShown);
  return invalid_model("the graph has a cycle: {}{}", text, node_label(g.node(path[0])));
}

template <typename Graph, typename Node>
std::vector<Graph*> subgraphs_of(Node& node) {
  std::vector<Graph*> found;
  for (auto& a : node.attribute())
    if (a.has_g()) found.push_back(const_cast<Graph*>(&a.g()));
  return found;
}

}  // namespace

std::vector<const onnx::GraphProto*> subgraphs(const onnx::NodeProto& node) {
  return subgraphs_of<const onnx::GraphProto>(node);
}
std::vector<onnx::GraphProto*> subgraphs(onnx::NodeProto& node) { return subgraphs_of<onnx::GraphProto>(node); }

std::vector<std::string> captured_names(const onnx::NodeProto& node) {
  Captures captures;
  for (const auto* g : subgraphs(node)) captures.visit(*g, {});
  return std::move(captures.found);
}

Result<std::vector<int>> node_order(const onnx::GraphProto& g, const std::function<bool(const std::string&)>& outside) {
  FOVEA_TRY_SET(Dependencies d, find_dependencies(g, outside));
  std::vector<int> order;
  if (d.sorted) {
    for (int i = 0; i < g.node_size(); ++i) order.push_back(i);
    return order;
  }
  for (int i = 0; i < g.node_size(); ++i)
    if (d.waiting[static_cast<size_t>(i)] == 0) order.push_back(i);
  for (size_t next = 0; next < order.size(); ++next)
    for (int reader : d.readers[static_cast<size_t>(order[next])])
      if (--d.waiting[static_cast<size_t>(reader)] == 0) order.push_back(reader);
  if (static_cast<int>(order.size()) != g.node_size()) return cycle_error(g, d);
  return order;
}

}  // namespace fovea::core
