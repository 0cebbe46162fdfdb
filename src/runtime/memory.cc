#include "runtime/memory.h"

#include <algorithm>

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

void mark_read(const Plan& plan, std::span<const Step> steps, Place place, std::vector<bool>& read) {
  for (const Step& step : steps) {
    if (step.place == place)
      for (int t : step.inputs)
        if (t >= 0 && plan.tensors[idx(t)].home == PlanTensor::Home::kInput)
          read[idx(plan.tensors[idx(t)].input)] = true;
    for (const auto& branch : step.branches) mark_read(plan, branch, place, read);
  }
}

int64_t bytes_of(const Specialisation& s, int tensor) {
  const PlanTensor& t = s.plan().tensors[idx(tensor)];
  return dtype_bytes(t.dtype(), storage_elements(t.format.layout, s.capacity(tensor))).value_or(0);
}

// Bytes of buffers in an arena, by position.
std::vector<int64_t> live_bytes(const Specialisation& s, Place place) {
  const Plan& plan = s.plan();
  std::vector<int64_t> live(idx(std::max(plan.positions, 0)) + 1, 0);
  for (const PlanBuffer& b : plan.buffers) {
    if (b.last < 0 || b.shape_phase || s.place(b.tensor).pool) continue;
    if (plan.tensors[idx(b.tensor)].format.place != place) continue;
    const int64_t bytes = placed(bytes_of(s, b.tensor));
    for (int p = std::max(b.first, 0); p <= b.last && idx(p) < live.size(); ++p) live[idx(p)] += bytes;
  }
  for (const Step& step : plan.run_steps)
    if (step.place == place && idx(step.position) < live.size()) live[idx(step.position)] -= s.shared(step);
  return live;
}

void collect(const Specialisation& s, std::span<const Step> steps, const std::vector<int64_t>* live, MemoryNeeds& out) {
  for (const Step& step : steps) {
    for (const auto& b : step.branches) collect(s, b, live, out);
    const PreparedKernel* kernel = step.choice >= 0 ? s.kernel(step) : nullptr;
    if (!kernel || kernel->workspace_bytes() <= 0) continue;
    const auto& at = live[idx(static_cast<int>(step.place))];
    out.workspaces.push_back({step.choice, step.place, kernel->workspace_bytes(),
                              idx(step.position) < at.size() ? at[idx(step.position)] : 0});
  }
}

}  // namespace

std::vector<bool> inputs_that_the_host_reads(const Plan& plan) {
  std::vector<bool> read(plan.graph->inputs.size(), false);
  mark_read(plan, plan.run_steps, Place::kHost, read);
  for (int t : plan.outputs)
    if (plan.tensors[idx(t)].home == PlanTensor::Home::kInput) read[idx(plan.tensors[idx(t)].input)] = true;
  return read;
}

std::vector<bool> inputs_that_the_device_reads(const Plan& plan) {
  std::vector<bool> read(plan.graph->inputs.size(), false);
  mark_read(plan, plan.run_steps, Place::kDevice, read);
  return read;
}

int64_t host_output_bytes(const Specialisation& s) {
  int64_t bytes = 0;
  for (int t : s.plan().outputs) {
    const PlanTensor& tensor = s.plan().tensors[idx(t)];
    if (tensor.format.place == Place::kDevice)
      bytes += placed(dtype_bytes(tensor.dtype(), s.place(t).ref.count()).value_or(0));
  }
  return bytes;
}

MemoryNeeds memory_needs(const Specialisation& s) {
  const Plan& plan = s.plan();
  MemoryNeeds needs;
  const std::vector<int64_t> live[2] = {live_bytes(s, Place::kHost), live_bytes(s, Place::kDevice)};
  for (size_t p = 0; p < 2; ++p) {
    needs.arena[p] = s.arena_bytes(static_cast<Place>(p));
    needs.buffers[p] = std::ranges::max(live[p]);
  }
  collect(s, plan.run_steps, live, needs);
  needs.shape_tensors = s.shape_tensor_bytes();
  if (!s.device()) return needs;
  needs.staging = host_output_bytes(s) + 2 * 8 * static_cast<int64_t>(plan.device_sizes.size());
  const std::vector<bool> host = inputs_that_the_host_reads(plan), device = inputs_that_the_device_reads(plan);
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const PlanTensor& t = plan.tensors[i];
    if (t.home != PlanTensor::Home::kInput || t.value != plan.graph->inputs[idx(t.input)]) continue;
    if (host[idx(t.input)] || device[idx(t.input)]) needs.staging += placed(bytes_of(s, static_cast<int>(i)));
  }
  return needs;
}

}  // namespace fovea::core
