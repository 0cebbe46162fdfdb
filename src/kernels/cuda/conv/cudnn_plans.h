// cuDNN's plans for a graph: found, built, timed against each other where that is asked for, and kept in the user's
// cache, for building one takes a tenth of a second and reading it back milliseconds.
#pragma once

#include <span>
#include <unordered_map>

#include "kernels/cuda/conv/tuning.h"

namespace cudnn_frontend::graph {
class Graph;
}

namespace fovea::core::cuda {

using CudnnTensors = std::unordered_map<int64_t, void*>;  // where the graph's tensors lie, by their ids

inline constexpr int64_t kMostCudnnWorkspace = int64_t{256} << 20;

// Several threads may execute it at once, each on a stream of its own.
struct CudnnPlan {
  std::shared_ptr<cudnn_frontend::graph::Graph> graph;
  int64_t index = -1, workspace = 0;
  std::string name;
  std::vector<KernelVariant> over_limit = {};  // plans that CudnnTask::workspace_limit left out

  Status execute(Stream& stream, CudnnTensors& tensors, void* workspace_memory) const;
};

struct CudnnTask {
  std::shared_ptr<cudnn_frontend::graph::Graph> graph;  // described, nothing more
  std::string description;                              // everything that makes it another graph
  std::vector<int64_t> tensors;                         // their ids, in order
  bool tensor_cores = true;                             // may use them
  std::string_view variant = {};                        // the plan's name, where it is known
  int64_t workspace_limit = kAnyWorkspace;              // as PrepareContext's
  bool tune = false;                                    // take the fastest, unless its name is known; else the first
  // Milliseconds of a plan, or more or less that where it is far slower than `best`; for `tune`.
  std::function<Result<double>(Stream& stream, const CudnnPlan& plan, double best)> time = nullptr;
};
Result<CudnnPlan> find_plan(CudaDevice& device, const CudnnTask& task);
// Builds or reads what find_plan() then finds. Several threads may do it at once.
void prebuild_plans(CudaDevice& device, const CudnnTask& task);

// Is this, as far as can be seen, a plan that the front end wrote, for these tensors?
bool is_cudnn_plan(std::string_view bytes, std::span<const int64_t> tensors);

}  // namespace fovea::core::cuda
