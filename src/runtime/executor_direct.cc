// In and out of a device: inputs that are made where the device reads them, or go there by way of pinned memory, so
// that nobody waits for the copy; outputs that are sent before anybody waits for them.
#include <algorithm>
#include <cstring>

#include "base/parallel.h"
#include "runtime/executor.h"

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

// Outputs whose size the device decides travel at their most, all of them together no more than this.
constexpr int64_t kMostAhead = int64_t{1} << 20;

// What comes from pageable memory travels in pieces: one is on its way while the next is read.
constexpr int64_t kPiece = int64_t{4} << 20, kGrain = int64_t{1} << 20;

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

// The host cannot read the device's memory, and copies from pageable memory have to be waited for.
Status Executor::stage_inputs(std::span<const TensorRef> inputs) {
  inputs_.assign(inputs.begin(), inputs.end());
  staged_.resize(inputs.size());
  pinned_at_.assign(inputs.size(), -1);
  bool any = false;
  int64_t room = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const int64_t bytes = dtype_bytes(inputs[i].dtype, inputs[i].count()).value_or(0);
    const bool host_reads = bound().host_reads[i] || check_finite;
    if (bytes == 0 || !(host_reads || bound().device_reads[i])) continue;
    if (!device_->owns(inputs[i].data)) {
      if (!bound().device_reads[i] || device_->pinned(inputs[i].data)) continue;
      pinned_at_[i] = room;
      room += (bytes + 63) / 64 * 64;
    } else if (host_reads) {
      staged_[i].resize(static_cast<size_t>(bytes));
      FOVEA_TRY(stream_->copy(staged_[i].data(), inputs[i].data, bytes));
      inputs_[i].data = staged_[i].data();
      any = true;
    }
  }
  user_inputs_ = inputs_;
  if (room > 0) FOVEA_TRY(make_room_for_inputs(room));
  return any ? wait() : Status();
}

// A run before, which nobody has waited for, may still read there.
Status Executor::make_room_for_inputs(int64_t bytes) {
  if (!inputs_over_) {
    FOVEA_TRY_SET(inputs_over_, device_->create_event());
  }
  FOVEA_TRY_SET(const bool over, inputs_over_->done());
  if (!over) {
    ++counts_.synchronisations;
    FOVEA_TRY(inputs_over_->wait());
  }
  return reserve(host_inputs_, bytes, DeviceMemory::Kind::kPinned);
}

Status Executor::inputs_asked() {
  const bool any = std::ranges::any_of(pinned_at_, [](int64_t at) { return at >= 0; });
  return any ? stream_->record(*inputs_over_) : Status();
}

Status Executor::transfer(const Step& step) {
  const int64_t bytes = dtype_bytes(in_[0].dtype, in_[0].count()).value_or(0);
  const auto* from = static_cast<const std::byte*>(in_[0].data);
  auto* to = static_cast<std::byte*>(out_[0].data);
  const PlanTensor& t = bound().spec->plan().tensors[idx(step.inputs[0])];
  const int64_t at = t.home == PlanTensor::Home::kInput ? pinned_at_[idx(t.input)] : -1;
  if (at < 0) return stream_->copy(to, from, bytes);
  std::byte* pinned = host_inputs_.data() + at + (from - static_cast<std::byte*>(user_inputs_[idx(t.input)].data));
  for (int64_t done = 0; done < bytes; done += kPiece) {
    const int64_t piece = std::min(kPiece, bytes - done);
    parallel_for(bound().spec->threads(), piece, kGrain, [&](int64_t begin, int64_t end) {
      std::memcpy(pinned + done + begin, from + done + begin, static_cast<size_t>(end - begin));
    });
    FOVEA_TRY(stream_->copy(to + done, pinned + done, piece));
  }
  return {};
}

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

// Where an output goes; `at`: its place in host_outputs_.
std::byte* Executor::destination(size_t output, int64_t at) const {
  void* to = output < sent_to_.size() ? sent_to_[output] : nullptr;
  return to ? static_cast<std::byte*>(to) : host_outputs_.data() + at;
}

Status Executor::send_outputs(std::span<void* const> to) {
  sent_to_.assign(to.begin(), to.end());
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
    if (bytes > 0) FOVEA_TRY(stream_->copy(destination(i, at), from, bytes));
    at += (bytes + 63) / 64 * 64;
  }
  pending_ = sent_ = true;
  return {};
}

}  // namespace fovea::core
