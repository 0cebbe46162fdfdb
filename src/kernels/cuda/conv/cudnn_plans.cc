#include "kernels/cuda/conv/cudnn_plans.h"

#include <cudnn_frontend.h>

#include <algorithm>
#include <limits>

#include "kernels/cuda/conv/plan_cache.h"

namespace fovea::core::cuda {
namespace {

namespace fe = cudnn_frontend;
using Json = nlohmann::json;

constexpr size_t kMostPlans = 10;  // that are timed

Status fe_status(fe::error_t e, std::string_view what) {
  if (e.is_good()) return {};
  return unsupported("cuDNN {}: {}", what, e.get_message());
}

// ---- found by the library

class Builder {
 public:
  Builder(const CudnnTask& task, Stream& stream, cudnnContext* handle)
      : task_(task), stream_(stream), handle_(handle), graph_(*task.graph) {}

  Result<CudnnPlan> run() {
    FOVEA_TRY(ask());
    const int64_t count = graph_.get_execution_plan_count();
    CudnnPlan plan = named(count);
    if (plan.index < 0 && task_.time) plan = fastest(count);
    for (int64_t i = 0; i < count && plan.index < 0; ++i) plan = within_limit(i);
    if (plan.index < 0) plan = std::move(smallest_);
    std::erase_if(over_limit_, [&](const KernelVariant& v) { return v.name == plan.name; });
    plan.over_limit = std::move(over_limit_);
    if (plan.index < 0) return unsupported("none of cuDNN's {} plans can be built", count);
    return plan;
  }

 private:
  Status ask() {
    FOVEA_TRY(fe_status(graph_.validate(), "validation"));
    FOVEA_TRY(fe_status(graph_.build_operation_graph(handle_), "operation graph"));
    FOVEA_TRY(fe_status(graph_.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}), "heuristics"));
    if (!task_.tensor_cores) graph_.deselect_numeric_notes({fe::NumericalNote_t::TENSOR_CORE});
    return fe_status(graph_.check_support(), "support");
  }

  std::string name_of(int64_t i) const {
    std::string name;
    return graph_.get_plan_name_at_index(i, name).is_good() ? name : std::string();
  }

  // Its index is negative where it cannot be built, or takes too much memory.
  CudnnPlan build(int64_t i) {
    if (graph_.build_plan_at_index(handle_, i).is_bad()) return {};
    const int64_t workspace = graph_.get_workspace_size_plan_at_index(i);
    if (workspace > kMostCudnnWorkspace) return {};
    return {task_.graph, i, workspace, name_of(i)};
  }

  CudnnPlan within_limit(int64_t i) {
    CudnnPlan plan = build(i);
    if (plan.index < 0 || plan.workspace <= task_.workspace_limit) return plan;
    if (std::ranges::find(over_limit_, plan.name, &KernelVariant::name) == over_limit_.end())
      over_limit_.push_back({plan.name, plan.workspace});
    if (smallest_.index < 0 || plan.workspace < smallest_.workspace) smallest_ = std::move(plan);
    return {};
  }

  CudnnPlan named(int64_t count) {
    if (task_.variant.empty()) return {};
    for (int64_t i = 0; i < count; ++i)
      if (name_of(i) == task_.variant)
        if (CudnnPlan plan = build(i); plan.index >= 0) return plan;
    return {};
  }

  CudnnPlan fastest(int64_t count) {
    CudnnPlan chosen;
    double best = std::numeric_limits<double>::infinity();
    size_t timed = 0;
    for (int64_t i = 0; i < count && timed < kMostPlans; ++i) {
      CudnnPlan plan = within_limit(i);
      if (plan.index < 0) continue;
      const auto ms = task_.time(stream_, plan, best);
      if (!ms.ok()) continue;
      ++timed;
      if (*ms < 0.97 * best) best = *ms, chosen = std::move(plan);
    }
    return chosen;
  }

  const CudnnTask& task_;
  Stream& stream_;
  cudnnContext* handle_;
  fe::graph::Graph& graph_;
  std::vector<KernelVariant> over_limit_;
  CudnnPlan smallest_;  // of them
};

// ---- kept

// The front end takes for granted that these members are there.
bool is_plan(const Json& j, std::span<const int64_t> tensors) {
  if (!j.is_object()) return false;
  for (const char* member : {"json_version", "cudnn_backend_data", "behavior_notes", "variant_pack_uids",
                             "variant_pack_replacements", "fe_workspace_size"})
    if (!j.contains(member)) return false;
  if (!j["cudnn_backend_data"].is_string() || !j["variant_pack_uids"].is_array()) return false;
  std::vector<int64_t> ids;
  for (const Json& id : j["variant_pack_uids"])
    if (id.is_number_integer()) ids.push_back(id.get<int64_t>());
  std::ranges::sort(ids);
  return ids.size() == j["variant_pack_uids"].size() && std::ranges::equal(ids, tensors);
}

Json parse(std::string_view bytes) { return Json::from_ubjson(bytes.begin(), bytes.end(), true, false); }

// What cannot be read, or belongs to something else, is built anew; it is no error. The front end and its JSON throw.
std::optional<CudnnPlan> load(const StoredPlan& kept, const CudnnTask& task, cudnnContext* handle) try {
  const Json json = parse(kept.bytes);
  if (!is_plan(json, task.tensors)) return std::nullopt;
  CudnnPlan plan{std::make_shared<fe::graph::Graph>(), 0, 0, kept.name};
  // Without its warm-up: the first run is not captured and loads what is missing.
  if (plan.graph->deserialize(handle, json, true, false).is_bad()) return std::nullopt;
  if (plan.graph->get_workspace_size(plan.workspace).is_bad()) return std::nullopt;
  if (plan.workspace < 0 || plan.workspace > kMostCudnnWorkspace) return std::nullopt;
  return plan;
} catch (const std::exception&) {
  return std::nullopt;
}

void keep(const std::string& key, std::string_view variant, const CudnnPlan& plan, cudnnContext* handle) try {
  std::vector<uint8_t> bytes;
  // To build what is built only makes it the one that is written.
  if (plan.graph->build_plan_at_index(handle, plan.index).is_bad()) return;
  if (plan.graph->serialize(bytes, false).is_bad()) return;
  write_plan(key, variant, {plan.name, std::string(bytes.begin(), bytes.end())});
} catch (const std::exception&) {
}

}  // namespace

bool is_cudnn_plan(std::string_view bytes, std::span<const int64_t> tensors) try {
  return is_plan(parse(bytes), tensors);
} catch (const std::exception&) {
  return false;
}

Status CudnnPlan::execute(Stream& stream, CudnnTensors& tensors, void* workspace_memory) const {
  FOVEA_TRY_SET(cudnnContext* const handle, stream.cudnn());
  return fe_status(graph->execute_plan_at_index(handle, tensors, workspace_memory, index), "execution");
}

Result<CudnnPlan> find_plan(CudaDevice& device, const CudnnTask& task) {
  FOVEA_TRY_SET(const CudaDevice::Workbench bench, device.workbench());
  FOVEA_TRY_SET(cudnnContext* const handle, bench.stream.cudnn());
  const std::string key =
      plan_key(device.target(), fmt::format("front end {}|{}", CUDNN_FRONTEND_VERSION, task.description));
  // Who may time and asks for none in particular wants the fastest of them.
  const bool must_time = task.time && task.variant.empty();
  if (!must_time)
    if (const auto kept = read_plan(key, task.variant))
      if (auto plan = load(*kept, task, handle);
          plan && (!task.variant.empty() || plan->workspace <= task.workspace_limit))
        return *std::move(plan);
  FOVEA_TRY_SET(CudnnPlan plan, Builder(task, bench.stream, handle).run());
  keep(key, must_time ? plan.name : task.variant, plan, handle);
  return plan;
}

}  // namespace fovea::core::cuda
