#include "builder/report.h"

#include <nlohmann/json.hpp>

namespace fovea::core {

using nlohmann::ordered_json;

namespace {

ordered_json candidate_json(const CandidateNote& c) {
  ordered_json j{{"kernel", c.kernel}};
  if (!c.formats.empty()) j["layouts"] = c.formats;
  if (!c.variant.empty()) j["variant"] = c.variant;
  if (c.refusal.empty()) j["ms"] = c.ms;
  else j["refusal"] = c.refusal;
  if (c.bytes >= 0) j["bytes"] = c.bytes;
  return j;
}

ordered_json group_json(const GroupChoice& g, const GroupCost& cost) {
  ordered_json j;
  j["kernel"] = g.row ? std::string(g.row->name) : "reference";
  ordered_json ops = ordered_json::array(), origin = ordered_json::array();
  for (const Node* n : g.group.nodes) {
    ops.push_back(n->op->name);
    for (const std::string& o : n->origin) origin.push_back(o);
  }
  j["ops"] = ops;
  j["onnx_nodes"] = origin;
  ordered_json outputs = ordered_json::array();
  for (size_t k = 0; k < g.group.outputs.size(); ++k)
    if (const Value* v = g.group.outputs[k])
      outputs.push_back({{"name", v->name},
                         {"shape", to_string(v->shape)},
                         {"layout", to_string(k < g.formats.outputs.size() ? g.formats.outputs[k] : Format())}});
  j["outputs"] = outputs;
  if (!g.variant.empty()) j["variant"] = g.variant;
  j["place"] = g.row && g.row->place == Place::kDevice ? "device" : "host";
  j["bytes"] = cost.bytes, j["operations"] = cost.products, j["other_operations"] = cost.others;
  j["arithmetic"] = to_string(cost.arithmetic);
  if (g.ms >= 0) j["ms"] = g.ms;
  ordered_json candidates = ordered_json::array();
  for (const CandidateNote& c : g.candidates) candidates.push_back(candidate_json(c));
  j["candidates"] = candidates;
  return j;
}

ordered_json synchronisations_json(const DeviceUse& device) {
  ordered_json list = ordered_json::array();
  for (const Synchronisation& s : device.synchronisations)
    list.push_back({{"onnx_nodes", s.onnx_nodes}, {"op", s.op}, {"why", s.why}});
  return list;
}

std::string first_origin(const GroupChoice& g) {
  const Node& n = *g.group.nodes[0];
  return n.origin.empty() ? std::string(n.op->name) : n.origin[0];
}

ordered_json memory_json(const ProfileReport& p) {
  const MemoryNeeds& m = p.memory;
  int64_t workspace = 0;
  for (const WorkspaceNeed& n : m.workspaces) workspace = std::max(workspace, n.bytes);
  ordered_json j{{"arena_bytes", m.arena[0]},
                 {"device_arena_bytes", m.arena[1]},
                 {"largest_workspace_bytes", workspace},
                 {"packed_weight_bytes", p.packed_weight_bytes},
                 {"staging_bytes", m.staging},
                 {"shape_tensor_bytes", m.shape_tensors},
                 {"total_bytes", p.total_bytes()}};
  if (p.memory_limit == 0) return j;
  ordered_json left_out = ordered_json::array();
  for (const GroupChoice& g : p.groups)
    for (const CandidateNote& c : g.candidates) {
      if (c.bytes < 0) continue;
      ordered_json one{{"kernel", c.kernel}, {"onnx_node", first_origin(g)}, {"bytes", c.bytes}};
      if (!c.variant.empty()) one["variant"] = c.variant;
      left_out.push_back(std::move(one));
    }
  j["memory_limit"] = p.memory_limit;
  j["left_out_for_memory"] = std::move(left_out);
  return j;
}

}  // namespace

// Nothing that differs between two compilations with the same timing cache may stand in the engine: no wall times.
std::string report_json(const CompileResult& result, const std::vector<ProfileReport>& profiles) {
  ordered_json j;
  ordered_json passes = ordered_json::array();
  for (const PassReport& p : result.passes)
    passes.push_back(
        {{"name", p.name}, {"changes", p.changes}, {"nodes_before", p.nodes_before}, {"nodes_after", p.nodes_after}});
  j["passes"] = passes;
  ordered_json list = ordered_json::array();
  for (const ProfileReport& p : profiles) {
    ordered_json groups = ordered_json::array();
    int reference = 0;
    for (size_t i = 0; i < p.groups.size(); ++i) {
      groups.push_back(group_json(p.groups[i], p.costs[i]));
      reference += p.groups[i].row == nullptr;
    }
    ordered_json sizes = ordered_json::object();
    for (const auto& [name, value] : p.profile) sizes[name] = value;
    list.push_back({{"profile", sizes},
                    {"reformats", p.reformats},
                    {"views", p.views},
                    {"copies", p.copies},
                    {"transfers", p.transfers},
                    {"size_reads", p.size_reads},
                    {"segments", p.device.segments},
                    {"synchronisations", synchronisations_json(p.device)},
                    {"groups_on_reference_kernels", reference}});
    list.back().update(memory_json(p));
    list.back()["groups"] = groups;
  }
  j["profiles"] = list;
  return j.dump();
}

}  // namespace fovea::core
