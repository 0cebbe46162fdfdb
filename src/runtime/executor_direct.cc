// In and out of a device without a detour: inputs that are made where the device reads them, outputs that are sent to
// the host before anybody waits for them.
#include <algorithm>

#include "runtime/executor.h"

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

// Outputs whose size the device decides travel at their most, all of them together no more than this.
constexpr int64_t kMostAhead = int64_t{1} << 20;

// Times that steps read input `i`, or a look at it.
int reads(const Plan& plan, std::span<const Step> steps, size_t i) {
  int count = 0;
  for (const Step& step : steps) {
    for (int t : step.inputs) {
      if (t < 0) continue;
      const PlanTensor& tensor = plan.tensors[idx(t)];
      count += tensor.home == PlanTensor::Home::kInput && idx(tensor.input) == i;
    }
    for (const auto& branch : step.branches) count += reads(plan, branch, i);
  }
  return count;
}

}  // namespace

// Only of a step in front of all others: what a later one brings over lies where others may have worked before it.
std::byte* Executor::input_memory(size_t i) const {
  const Plan& plan = bound().spec->plan();
  if (!device_ || bound().host_reads[i] || check_finite || reads(plan, plan.run_steps, i) != 1) return nullptr;
  for (const Step& step : plan.run_steps) {
    if (step.kind != Step::Kind::kTransfer || step.dynamic) return nullptr;
    const PlanTensor& from = plan.tensors[idx(step.inputs[0])];
    if (from.home != PlanTensor::Home::kInput || from.offset >= 0 || !from.strides.empty()) return nullptr;
    if (idx(from.input) == i) return static_cast<std::byte*>(bound().refs[idx(step.outputs[0])].data);
  }
  return nullptr;
}

bool Executor::put_output(size_t i, void* data) {
  const Plan& plan = bound().spec->plan();
  const int output = plan.outputs[i];
  const PlanTensor& t = plan.tensors[idx(output)];
  if (!device_ || t.format.place != Place::kDevice || t.home != PlanTensor::Home::kBuffer || t.dynamic) return false;
  const auto in_buffer = [&](const PlanTensor& other) {
    return other.home == PlanTensor::Home::kBuffer && other.buffer == t.buffer;
  };
  if (plan.buffers[idx(t.buffer)].shape_phase || std::ranges::count_if(plan.tensors, in_buffer) != 1) return false;
  bound().refs[idx(output)].data = data;
  bound().moved = true;
  bound().graphs.clear(), bound().runs = 0;  // what was recorded writes where the output was before
  return true;
}

int64_t Executor::capacity_bytes(size_t output) const {
  const TensorRef& most = bound().spec->place(bound().spec->plan().outputs[output]).ref;
  return dtype_bytes(most.dtype, most.count()).value_or(0);
}

Status Executor::send_outputs() {
  if (!device_ || observer || check_finite) return {};
  const Plan& plan = bound().spec->plan();
  const auto on_device = [&](size_t i) { return plan.tensors[idx(plan.outputs[i])].format.place == Place::kDevice; };
  int64_t ahead = 0;
  for (size_t i = 0; i < plan.outputs.size(); ++i)
    if (on_device(i) && plan.tensors[idx(plan.outputs[i])].dynamic) ahead += capacity_bytes(i);
  if (ahead > kMostAhead) return {};
  if (!sizes_read_) FOVEA_TRY(ask_sizes());
  int64_t at = 0;
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    if (!on_device(i)) continue;
    const int64_t bytes = capacity_bytes(i);
    const void* from = bound().refs[idx(plan.outputs[i])].data;
    if (bytes > 0) FOVEA_TRY(stream_->copy(host_outputs_.data() + at, from, bytes));
    at += (bytes + 63) / 64 * 64;
  }
  pending_ = sent_ = true;
  return {};
}

}  // namespace fovea::core
