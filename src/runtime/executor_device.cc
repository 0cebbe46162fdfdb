// The device's half of a run: its memory, its steps, recorded or one by one, what goes to it and what comes from it.
#include <algorithm>
#include <climits>

#include "plan/device_use.h"
#include "runtime/executor.h"
#include "runtime/memory.h"

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

// A name that is there already: this runs in the steady state, too.
const char* range_name(const Step& step) {
  return step.node && !step.node->origin.empty() ? step.node->origin[0].c_str() : "input";
}

}  // namespace

Status Executor::bind_device(const Specialisation& s) {
  device_ = s.device();
  if (!stream_) {
    FOVEA_TRY_SET(stream_, device_->create_stream());
  }
  auto room = [&](DeviceMemory& memory, int64_t bytes, DeviceMemory::Kind kind) {
    Status status = reserve(memory, bytes, kind);
    if (!status.ok()) kept_.clear();
    return status;
  };
  const auto words = static_cast<int64_t>(s.plan().device_sizes.size()) * 8;
  FOVEA_TRY(room(device_arena_, s.arena_bytes(Place::kDevice), DeviceMemory::Kind::kDevice));
  const std::byte* old = device_sizes_.data();
  FOVEA_TRY(room(device_sizes_, words, DeviceMemory::Kind::kDevice));
  FOVEA_TRY(room(host_sizes_, words, DeviceMemory::Kind::kPinned));
  if (device_sizes_.data() != old)
    for (Bound& b : kept_) b.graphs.clear();
  return room(host_outputs_, host_output_bytes(s), DeviceMemory::Kind::kPinned);
}

Status Executor::reserve(DeviceMemory& memory, int64_t bytes, DeviceMemory::Kind kind) {
  if (memory.bytes() >= bytes) return {};
  if (pending_ && memory.data()) FOVEA_TRY(wait());  // it may be in use
  memory.reset();
  FOVEA_TRY_SET(memory, device_->allocate(bytes, kind));
  return {};
}

Status Executor::wait() {
  pending_ = false;
  ++counts_.synchronisations;
  FOVEA_TRY(stream_->synchronize());
  return observe_device_steps();
}

Status Executor::read_sizes() {
  FOVEA_TRY(ask_sizes());
  FOVEA_TRY(wait());
  return take_sizes();
}

Status Executor::ask_sizes() {
  const auto words = static_cast<int64_t>(bound().spec->plan().device_sizes.size());
  return stream_->copy(host_sizes_.data(), device_sizes_.data(), words * 8);
}

// The sizes that the device has decided become known to the shape program.
Status Executor::take_sizes() {
  const std::vector<int>& slots = bound().spec->plan().device_sizes;
  sizes_read_ = true;
  const auto* words = reinterpret_cast<const int64_t*>(host_sizes_.data());
  for (size_t i = 0; i < slots.size(); ++i)
    if (slots[i] >= 0) bound().values[idx(slots[i])] = words[i], bound().known[idx(slots[i])] = 1;
  return bound().spec->plan().program.run(bound().values, bound().known);
}

Status Executor::copy_outputs_to_host(std::span<TensorRef> outputs) {
  const Plan& plan = bound().spec->plan();
  int64_t at = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const int t = plan.outputs[i];
    if (plan.tensors[idx(t)].format.place != Place::kDevice) continue;
    const int64_t capacity = capacity_bytes(i);
    const int64_t bytes = dtype_bytes(outputs[i].dtype, outputs[i].count()).value_or(0);
    if (bytes > capacity)
      return internal_error("an output of {} bytes does not fit into its bound {}", bytes, capacity);
    std::byte* to = destination(i, at);
    if (!sent_) {
      if (bytes > 0) FOVEA_TRY(stream_->copy(to, outputs[i].data, bytes));
      pending_ = true;
    }
    outputs[i].data = to;
    at += (capacity + 63) / 64 * 64;
  }
  return {};
}

Status Executor::run_device_steps(std::span<const Step> steps) {
  for (size_t i = 0; i < steps.size();) {
    size_t end = i;
    while (end < steps.size() && recordable(steps[end])) ++end;
    const auto segment = steps.subspan(i, end - i);
    if (end == i) FOVEA_TRY(run_device_step(steps[end++], *stream_));
    else if (capture && !observer && !check_finite && bound().runs > 0) FOVEA_TRY(launch_segment(segment));
    else FOVEA_TRY(run_segment(segment));
    i = end;
  }
  return {};
}

Status Executor::launch_segment(std::span<const Step> steps) {
  Segment& segment = bound().graphs[steps[0].index];
  if (!segment.graph) segment.name = std::string("segment of ") + range_name(steps[0]);
  const DeviceRange range(stream_.get(), segment.name.c_str());
  if (!segment.graph) {
    FOVEA_TRY(stream_->begin_capture());
    Status status = run_segment(steps);
    auto made = stream_->end_capture();
    FOVEA_TRY(std::move(status));
    FOVEA_TRY_SET(segment.graph, std::move(made));
  }
  pending_ = true;
  ++counts_.graphs;
  return stream_->launch(*segment.graph);
}

// Steps beside others go to a stream of their own, each behind what stream_ was asked for up to where it may begin;
// stream_ waits for them where they must be done, and at the end for all.
Status Executor::run_segment(std::span<const Step> steps) {
  const auto beside = [&](const Step& step) { return bound().spec->beside(step) && !observer && !check_finite; };
  if (std::ranges::none_of(steps, beside)) {
    for (const Step& step : steps) FOVEA_TRY(run_device_step(step, *stream_));
    return {};
  }
  if (!beside_) {
    FOVEA_TRY_SET(beside_, device_->create_stream());
  }
  const int before_all = steps[0].position - 1;
  const auto may_begin_behind = [&](const Step& step) {
    return std::max(bound().spec->window(step).after, before_all);
  };
  size_t events = 0;
  std::map<int, DeviceEvent*> passed;  // positions of stream_ behind which somebody may begin
  for (const Step& step : steps)
    if (beside(step)) passed[may_begin_behind(step)] = nullptr;
  const auto pass = [&](int position) -> Status {
    auto it = passed.find(position);
    if (it == passed.end()) return {};
    FOVEA_TRY_SET(it->second, beside_event(*stream_, events++));
    return {};
  };
  std::vector<std::pair<int, DeviceEvent*>> begun;  // where stream_ must wait for it, in the order of beside_
  const auto wait_for_those_before = [&](int position) -> Status {
    // For the last of them: when it is done all in front of it are.
    const auto last = std::ranges::find_if(begun.rbegin(), begun.rend(), [&](auto& b) { return b.first <= position; });
    if (last == begun.rend()) return {};
    FOVEA_TRY(stream_->wait_for(*last->second));
    begun.erase(begun.begin(), last.base());
    return {};
  };
  FOVEA_TRY(pass(before_all));
  for (const Step& step : steps) {
    if (beside(step)) {
      FOVEA_TRY(beside_->wait_for(*passed[may_begin_behind(step)]));
      FOVEA_TRY(run_device_step(step, *beside_));
      FOVEA_TRY_SET(DeviceEvent * done, beside_event(*beside_, events++));
      begun.emplace_back(bound().spec->window(step).before, done);
    } else {
      FOVEA_TRY(wait_for_those_before(step.position));
      FOVEA_TRY(run_device_step(step, *stream_));
    }
    FOVEA_TRY(pass(step.position));
  }
  return wait_for_those_before(INT_MAX);
}

// The `number`th event of a segment, which `stream` reaches when it has done what it was asked for so far.
Result<DeviceEvent*> Executor::beside_event(DeviceStream& stream, size_t number) {
  if (number == beside_events_.size()) {
    FOVEA_TRY_SET(auto event, device_->create_event());
    beside_events_.push_back(std::move(event));
  }
  FOVEA_TRY(stream.record(*beside_events_[number]));
  return beside_events_[number].get();
}

Status Executor::run_device_step(const Step& step, DeviceStream& stream) {
  current_ = &step;
  if (step.kind == Step::Kind::kReadSizes) return read_sizes();
  const Plan& plan = bound().spec->plan();
  Observed seen{&step, nullptr, nullptr};
  if (observer) {
    FOVEA_TRY_SET(seen.begin, device_->create_event());
    FOVEA_TRY_SET(seen.end, device_->create_event());
    FOVEA_TRY(stream.record(*seen.begin));
  }
  if (step.kind == Step::Kind::kTransfer && step.dynamic) {
    FOVEA_TRY(refresh(step.inputs[0]));
    FOVEA_TRY(refresh(step.outputs[0]));
  }
  in_.clear(), out_.clear();
  for (int t : step.inputs) in_.push_back(t < 0 ? TensorRef{} : bound().refs[idx(t)]);
  for (int t : step.outputs) out_.push_back(t < 0 ? TensorRef{} : bound().refs[idx(t)]);
  stream.begin_range(range_name(step));
  Status status;
  if (step.kind == Step::Kind::kTransfer) {
    // What its maker has put there already (input_memory()) stays.
    if (in_[0].data != out_[0].data) status = transfer(step);
  } else if (step.kind != Step::Kind::kGroup) {
    status = device_->reformat(stream, in_[0], plan.tensors[idx(step.inputs[0])].format, out_[0],
                               plan.tensors[idx(step.outputs[0])].format);
  } else {
    const GroupChoice& choice = plan.assignment.groups[idx(step.choice)];
    KernelContext c;
    c.inputs = in_, c.outputs = out_, c.threads = bound().spec->threads(), c.scratch = &scratch_;
    c.attributes = choice.group.nodes[0]->attrs.get(), c.stream = &stream;
    if (step.sizes >= 0) c.sizes = reinterpret_cast<int64_t*>(device_sizes_.data()) + step.sizes;
    if (step.copy_residual) {
      TensorRef& from = in_[idx(choice.group.residual)];
      const int64_t elements = storage_elements(choice.formats.outputs[0].layout, from.shape());
      status = stream.copy(out_[0].data, from.data, dtype_bytes(from.dtype, elements).value_or(0));
      from.data = out_[0].data;
    }
    if (int64_t w = bound().spec->workspace(step); w >= 0) c.workspace = device_arena_.data() + w;
    if (status.ok()) status = bound().spec->kernel(step)->run(c);
  }
  stream.end_range();
  ++counts_.launches;
  pending_ = true;
  if (!status.ok()) return status.in(step.node ? step.node->label() : "input");
  if (observer) {
    FOVEA_TRY(stream.record(*seen.end));
    observed_.push_back(std::move(seen));
  }
  if (check_finite && step.kind != Step::Kind::kTransfer) return check_device_outputs(step);
  return {};
}

// Device steps are heard of when they are over, by the device's own clock.
Status Executor::observe_device_steps() {
  const int64_t now = observed_.empty() ? 0 : StepEvent::now_ns();
  for (const Observed& o : observed_) {
    FOVEA_TRY_SET(const double behind, observed_.back().end->ms_since(*o.begin));
    FOVEA_TRY_SET(const double took, o.end->ms_since(*o.begin));
    StepEvent e = event_of(*o.step);
    e.begin_ns = now - static_cast<int64_t>(1e6 * behind), e.end_ns = e.begin_ns + static_cast<int64_t>(1e6 * took);
    if (observer) observer(e);
  }
  observed_.clear();
  return {};
}

Status Executor::check_device_outputs(const Step& step) {
  std::vector<TensorRef> device(out_.begin(), out_.end());
  std::vector<std::vector<std::byte>> copies(out_.size());
  for (size_t k = 0; k < out_.size(); ++k) {
    if (step.outputs[k] < 0) continue;
    const PlanTensor& t = bound().spec->plan().tensors[idx(step.outputs[k])];
    if (t.dynamic && step.sizes >= 0) {
      FOVEA_TRY(read_sizes());
      FOVEA_TRY(refresh(step.outputs[k]));
    }
    out_[k] = bound().refs[idx(step.outputs[k])];
    const int64_t bytes = dtype_bytes(t.dtype(), storage_elements(t.format.layout, out_[k].shape())).value_or(0);
    copies[k].resize(static_cast<size_t>(bytes));
    FOVEA_TRY(stream_->copy(copies[k].data(), out_[k].data, bytes));
    out_[k].data = copies[k].data();
  }
  FOVEA_TRY(wait());
  Status s = check_outputs(step);
  std::copy(device.begin(), device.end(), out_.begin());
  return s;
}

}  // namespace fovea::core
