#include "kernels/cuda/conv/cudnn_plans.h"

#include <cudnn_frontend.h>

#include <algorithm>
#include <limits>

#include "kernels/cuda/conv/plan_cache.h"

namespace fovea::core::cuda {
namespace {

namespace fe = cudnn_frontend;
using Json = nlohmann::json;

constexpr size_t kMostPlans = 8;  // that are built and timed against each other

Status fe_status(fe::error_t e, std::string_view what) {
  if (e.is_good()) return {};
  return unsupported("cuDNN {}: {}", what, e.get_message());
}

// ---- found by the library

struct Plans {
  std::vector<CudnnPlan> some;            // the first ones within the limit
  std::vector<KernelVariant> over_limit;  // what else there was before them
  CudnnPlan smallest;                     // of those
  bool from_cache = false;                // the user's
};

class Builder {
 public:
  Builder(const CudnnTask& task, cudnnContext* handle) : task_(task), handle_(handle), graph_(*task.graph) {}

  Result<Plans> run() {
    FOVEA_TRY(ask());
    const int64_t count = graph_.get_execution_plan_count();
    if (CudnnPlan plan = named(count); plan.index >= 0) {
      plans_.some.push_back(std::move(plan));
      return std::move(plans_);
    }
    const size_t wanted = task_.tune ? kMostPlans : 1;
    for (int64_t i = 0; i < count && plans_.some.size() < wanted; ++i) add(build(i));
    if (plans_.some.empty() && plans_.smallest.index < 0)
      return unsupported("none of cuDNN's {} plans can be built", count);
    return std::move(plans_);
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

  void add(CudnnPlan plan) {
    if (plan.index < 0) return;
    if (plan.workspace <= task_.workspace_limit) return plans_.some.push_back(std::move(plan));
    if (std::ranges::find(plans_.over_limit, plan.name, &KernelVariant::name) == plans_.over_limit.end())
      plans_.over_limit.push_back({plan.name, plan.workspace});
    if (plans_.smallest.index < 0 || plan.workspace < plans_.smallest.workspace) plans_.smallest = std::move(plan);
  }

  CudnnPlan named(int64_t count) {
    if (task_.variant.empty()) return {};
    for (int64_t i = 0; i < count; ++i)
      if (name_of(i) == task_.variant)
        if (CudnnPlan plan = build(i); plan.index >= 0) return plan;
    return {};
  }

  const CudnnTask& task_;
  cudnnContext* handle_;
  fe::graph::Graph& graph_;
  Plans plans_;
};

CudnnPlan fastest(const CudnnTask& task, Stream& stream, std::vector<CudnnPlan>& plans) {
  CudnnPlan* chosen = nullptr;
  double best = std::numeric_limits<double>::infinity();
  for (CudnnPlan& plan : plans)
    if (const auto ms = task.time(stream, plan, best); ms.ok() && *ms < 0.97 * best) best = *ms, chosen = &plan;
  return chosen ? std::move(*chosen) : CudnnPlan();
}

CudnnPlan choose(const CudnnTask& task, Stream& stream, Plans plans) {
  CudnnPlan plan;
  if (plans.some.size() > 1) plan = fastest(task, stream, plans.some);
  if (plan.index < 0) plan = std::move(plans.some.empty() ? plans.smallest : plans.some[0]);
  std::erase_if(plans.over_limit, [&](const KernelVariant& v) { return v.name == plan.name; });
  plan.over_limit = std::move(plans.over_limit);
  return plan;
}

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

// What was built or read: for who asks next, and as long as somebody uses it for all who ask.
struct CudaDevice::BuiltPlans {
  std::mutex mutex;
  std::map<std::string, Plans> fresh;
  struct Used {
    std::weak_ptr<fe::graph::Graph> graph;
    CudnnPlan plan;  // without its graph
  };
  std::map<std::string, Used> used;

  std::optional<Plans> take(const std::string& key) {
    std::lock_guard lock(mutex);
    auto node = fresh.extract(key);
    if (node) return std::move(node.mapped());
    return std::nullopt;
  }
  std::optional<CudnnPlan> find(const std::string& key) {
    std::lock_guard lock(mutex);
    const auto it = used.find(key);
    if (it == used.end()) return std::nullopt;
    CudnnPlan plan = it->second.plan;
    plan.graph = it->second.graph.lock();
    if (plan.graph) return plan;
    used.erase(it);
    return std::nullopt;
  }
  void remember(const std::string& key, const CudnnPlan& plan) {
    std::lock_guard lock(mutex);
    std::erase_if(used, [](const auto& u) { return u.second.graph.expired(); });
    Used& u = used[key] = {plan.graph, plan};
    u.plan.graph = nullptr;
  }
};

namespace {

CudaDevice::BuiltPlans& built_plans(CudaDevice& device) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (!device.built_plans) device.built_plans = new CudaDevice::BuiltPlans;
  return *device.built_plans;
}

std::string key_of(const CudaDevice& device, const CudnnTask& task) {
  return plan_key(device.target(), fmt::format("front end {}|{}", CUDNN_FRONTEND_VERSION, task.description));
}
// Who may time and asks for none in particular wants the fastest of several.
bool must_time(const CudnnTask& task) { return task.tune && task.variant.empty(); }
// What the process knows of it: plans that a limit left out are other plans.
std::string memory_key(const std::string& key, const CudnnTask& task) {
  return fmt::format("{}|{}|{}|{}", key, task.variant, task.workspace_limit, must_time(task));
}

Result<Plans> read_or_build(const CudnnTask& task, const std::string& key, cudnnContext* handle) {
  if (!must_time(task))
    if (const auto kept = read_plan(key, task.variant))
      if (auto plan = load(*kept, task, handle);
          plan && (!task.variant.empty() || plan->workspace <= task.workspace_limit)) {
        Plans plans;
        plans.some.push_back(*std::move(plan));
        plans.from_cache = true;
        return plans;
      }
  return Builder(task, handle).run();
}

}  // namespace

void prebuild_plans(CudaDevice& device, const CudnnTask& task) {
  const std::string key = key_of(device, task), in_memory = memory_key(key, task);
  CudaDevice::BuiltPlans& built = built_plans(device);
  if (!must_time(task) && built.find(in_memory)) return;
  const auto stream = device.borrow_stream();
  if (!stream.ok()) return;
  const auto handle = (*stream)->cudnn();
  if (!handle.ok()) return;
  auto plans = read_or_build(task, key, *handle);
  if (!plans.ok()) return;
  std::lock_guard lock(built.mutex);
  built.fresh[in_memory] = *std::move(plans);
}

Result<CudnnPlan> find_plan(CudaDevice& device, const CudnnTask& task) {
  const std::string key = key_of(device, task), in_memory = memory_key(key, task);
  CudaDevice::BuiltPlans& built = built_plans(device);
  auto plans = built.take(in_memory);
  if (!plans && !must_time(task))
    if (auto plan = built.find(in_memory)) return *std::move(plan);
  FOVEA_TRY_SET(const CudaDevice::Workbench bench, device.workbench());
  FOVEA_TRY_SET(cudnnContext* const handle, bench.stream.cudnn());
  if (!plans && !must_time(task))  // an equal layer's may be there meanwhile
    if (auto plan = built.find(in_memory)) return *std::move(plan);
  if (!plans) {
    FOVEA_TRY_SET(plans, read_or_build(task, key, handle));
  }
  const bool is_kept = plans->from_cache;
  CudnnPlan plan = choose(task, bench.stream, *std::move(plans));
  const std::string variant = must_time(task) ? plan.name : std::string(task.variant);
  if (!is_kept) keep(key, variant, plan, handle);
  CudnnTask known = task;
  known.variant = variant, known.tune = false;
  built.remember(memory_key(key, known), plan);
  return plan;
}

}  // namespace fovea::core::cuda
