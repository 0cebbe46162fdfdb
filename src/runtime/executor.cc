#include "runtime/executor.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "kernels/reference/reference.h"
#include "runtime/memory.h"

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string_view step_kernel(const Plan& plan, const Step& step) {
  switch (step.kind) {
    case Step::Kind::kReformat: return "reformat";
    case Step::Kind::kCopy: return "copy";
    case Step::Kind::kMaterialise: return "materialise";
    case Step::Kind::kIf: return "if";
    case Step::Kind::kTransfer: return "transfer";
    case Step::Kind::kReadSizes: return "read sizes";
    case Step::Kind::kGroup: break;
  }
  const KernelRow* row = step.choice >= 0 ? plan.assignment.groups[idx(step.choice)].row : nullptr;
  return row ? row->name : "reference";
}

}  // namespace

Executor::Memory Executor::take(int64_t bytes) {
  return Memory(
      static_cast<std::byte*>(::operator new(static_cast<size_t>(bytes), std::align_val_t(64), std::nothrow)));
}

Status Executor::bind(std::shared_ptr<const Specialisation> specialisation) {
  if (this->specialisation() == specialisation.get() && !bound().moved) return {};
  user_inputs_ = {};  // the last run's are no longer ours to look at
  const Specialisation& s = *specialisation;
  if (s.arena_bytes() > arena_size_) {
    arena_.reset();
    arena_ = take(s.arena_bytes());
    arena_size_ = arena_ ? s.arena_bytes() : 0;
    if (!arena_) {
      kept_.clear();
      return system_error("out of memory: {} bytes for a context's arena", s.arena_bytes());
    }
  }
  if (s.device()) FOVEA_TRY(bind_device(s));
  auto again = std::ranges::find(kept_, specialisation, &Bound::spec);
  if (again != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, again);
  } else {
    const Plan& plan = s.plan();
    Bound fresh;
    fresh.pools.resize(plan.buffers.size());
    fresh.values.assign(s.values().begin(), s.values().end());
    fresh.known.assign(s.known().begin(), s.known().end());
    for (size_t i = 0; i < plan.tensors.size(); ++i) fresh.refs.push_back(s.place(static_cast<int>(i)).ref);
    if (s.device()) fresh.host_reads = inputs_that_the_host_reads(plan);
    fresh.spec = std::move(specialisation);
    kept_.push_front(std::move(fresh));
    if (kept_.size() > kKept) kept_.pop_back();
  }
  if (again == kept_.end() || bound().arena != arena_.get() || bound().device_arena != device_arena_.data() ||
      bound().moved) {
    for (size_t i = 0; i < bound().refs.size(); ++i) bound().refs[i].data = address(static_cast<int>(i));
    bound().arena = arena_.get();
    bound().device_arena = device_arena_.data();
    bound().graphs.clear(), bound().runs = 0;  // they hold addresses
    bound().moved = false;
  }
  in_.clear(), out_.clear();
  in_.reserve(256), out_.reserve(64);
  return {};
}

void* Executor::address(int tensor) const {
  const PlanTensor& t = bound().spec->plan().tensors[idx(tensor)];
  const auto& place = bound().spec->place(tensor);
  const int64_t shift = place.element_offset * std::max(1, dtype_bits(t.dtype()) / 8);
  if (t.home == PlanTensor::Home::kInput)
    return idx(t.input) < user_inputs_.size() ? static_cast<std::byte*>(user_inputs_[idx(t.input)].data) + shift
                                              : nullptr;
  if (place.arena >= 0) return (t.format.place == Place::kDevice ? device_arena_.data() : arena_.get()) + place.arena;
  if (place.pool) return bound().pools[idx(t.buffer)].data.get();
  return place.ref.data;
}

bool Executor::writes_to(const void* data, size_t bytes) const {
  if (overlap(data, bytes, arena_.get(), static_cast<size_t>(arena_size_))) return true;
  for (const DeviceMemory* m : {&device_arena_, &host_outputs_})
    if (overlap(data, bytes, m->data(), static_cast<size_t>(m->bytes()))) return true;
  for (const Bound& b : kept_)
    for (const Pool& p : b.pools)
      if (overlap(data, bytes, p.data.get(), static_cast<size_t>(p.size))) return true;
  return false;
}

Status Executor::refresh(int tensor) {
  const PlanTensor& t = bound().spec->plan().tensors[idx(tensor)];
  TensorRef& r = bound().refs[idx(tensor)];
  if (t.dynamic) {
    std::array<int64_t, kMaxRank> dims{};
    for (size_t d = 0; d < t.dims.size(); ++d) dims[d] = bound().values[idx(t.dims[d])];
    r.set_shape({dims.data(), t.dims.size()});
    for (size_t d = 0; d < t.strides.size(); ++d) r.strides[d] = bound().values[idx(t.strides[d])];
    auto elements = [&](const PlanTensor& of) {
      int64_t count = 1;
      for (int slot : of.dims) count *= bound().values[idx(slot)];
      return count;
    };
    for (const PlanTensor* view = &t; view->reshape_of >= 0;) {
      const PlanTensor* source = &bound().spec->plan().tensors[idx(view->reshape_of)];
      if (elements(*source) != elements(*view))
        return invalid_argument("{}: {} elements, as this run's data made them, cannot be reshaped to {}",
                                view->value->producer ? view->value->producer->label() : view->value->name,
                                elements(*source), to_string(view->shape));
      view = source;
    }
  }
  r.data = address(tensor);
  return {};
}

// Before a step: its outputs' shapes, exact where every size is known, the most they can be where the step decides.
Status Executor::refresh_output(int tensor) {
  const PlanTensor& t = bound().spec->plan().tensors[idx(tensor)];
  TensorRef& r = bound().refs[idx(tensor)];
  const auto& place = bound().spec->place(tensor);
  if (t.dynamic) {
    bool exact = true;
    for (int slot : t.dims) exact &= bound().known[idx(slot)] != 0;
    if (exact) {
      FOVEA_TRY(refresh(tensor));
      if (!place.pool) return {};
      std::array<int64_t, kMaxRank> dims = r.dims;
      Status s = resize_output(this, static_cast<size_t>(-1), r, std::span<const int64_t>(dims.data(), t.dims.size()));
      r.data = address(tensor);
      return s;
    }
    r = place.ref;
  }
  r.data = address(tensor);
  return {};
}

Status Executor::resize_output(void* owner, size_t index, TensorRef& output, std::span<const int64_t> shape) {
  Executor& self = *static_cast<Executor*>(owner);
  const int tensor = index == static_cast<size_t>(-1) ? static_cast<int>(&output - self.bound().refs.data())
                                                      : self.current_->outputs[index];
  const auto& place = self.bound().spec->place(tensor);
  auto count = element_count(shape);
  auto bytes = count ? dtype_bytes(output.dtype, *count) : std::nullopt;
  if (!bytes) return invalid_argument("an output of impossible size");
  if (place.pool) {
    Pool& pool = self.bound().pools[idx(self.bound().spec->plan().tensors[idx(tensor)].buffer)];
    if (*bytes > pool.size) {
      // Grown by half again, so that a size that creeps up settles soon.
      const int64_t grown = std::max<int64_t>(*bytes + *bytes / 2, 256);
      Memory fresh = take(grown);
      if (!fresh) return system_error("out of memory: {} bytes for an output whose size has no bound", grown);
      pool = {std::move(fresh), grown};
    }
    output.data = pool.data.get();
  } else if (*count > place.ref.count()) {
    return internal_error("an output of {} elements does not fit into its bound {}", *count, place.ref.count());
  }
  output.set_shape(shape);
  return {};
}

Status Executor::run(std::span<const TensorRef> inputs, std::span<TensorRef> outputs) {
  FOVEA_TRY(enqueue(inputs));
  return finish(outputs);
}

Status Executor::enqueue(std::span<const TensorRef> inputs) {
  const Specialisation& s = *bound().spec;
  const Plan& plan = s.plan();
  counts_ = {};
  if (device_) made_before_ = device_->counts();
  user_inputs_ = inputs;
  if (device_) FOVEA_TRY(stage_inputs(inputs));
  std::copy(s.known().begin(), s.known().end(), bound().known.begin());
  for (size_t i = 0; i < bound().refs.size(); ++i) {
    const PlanTensor& t = plan.tensors[i];
    // What the device sizes has room for the most: finish() has left the last run's size there.
    const bool sized_there = t.dynamic && t.format.place == Place::kDevice;
    if (sized_there) bound().refs[i] = s.place(static_cast<int>(i)).ref;
    if (sized_there || t.home == PlanTensor::Home::kInput) bound().refs[i].data = address(static_cast<int>(i));
  }
  ThreadCountScope threads(s.threads());
  sizes_read_ = plan.device_sizes.empty(), sent_ = false;
  Status status;
  try {
    if (check_finite) status = check_inputs();
    if (check_finite && status.ok() && !bound().weights_checked) status = check_weights();
    if (status.ok()) status = run_steps(plan.run_steps);
  } catch (const std::bad_alloc&) {
    status =
        system_error("out of memory while running {}", current_ && current_->node ? current_->node->label() : "a step");
  }
  if (status.ok()) ++bound().runs;
  else if (pending_) (void)wait();
  count_made();
  return status;
}

// Since enqueue() began.
void Executor::count_made() {
  if (!device_) return;
  const DeviceCounts now = device_->counts();
  counts_.made = {now.allocations - made_before_.allocations, now.streams - made_before_.streams,
                  now.events - made_before_.events, now.graphs - made_before_.graphs};
}

Status Executor::finish(std::span<TensorRef> outputs) {
  const Plan& plan = bound().spec->plan();
  bool on_device = false;
  if (sent_ && pending_) FOVEA_TRY(wait());
  if (sent_ && !sizes_read_) FOVEA_TRY(take_sizes());
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    const PlanTensor& t = plan.tensors[idx(plan.outputs[i])];
    on_device |= t.format.place == Place::kDevice && t.home == PlanTensor::Home::kBuffer;
    if (t.dynamic && !sizes_read_) FOVEA_TRY(read_sizes());
    FOVEA_TRY(refresh(plan.outputs[i]));
    outputs[i] = bound().refs[idx(plan.outputs[i])];
  }
  if (on_device) FOVEA_TRY(copy_outputs_to_host(outputs));
  if (pending_) FOVEA_TRY(wait());
  count_made();
  return {};
}

Status Executor::finish_on_device(std::span<TensorRef> outputs) {
  const Plan& plan = bound().spec->plan();
  for (size_t i = 0; i < plan.outputs.size(); ++i) outputs[i] = bound().refs[idx(plan.outputs[i])];
  return {};
}

// ---- devices

Status Executor::bind_device(const Specialisation& s) {
  device_ = s.device();
  if (!stream_) {
    FOVEA_TRY_SET(stream_, device_->create_stream());
  }
  auto room = [&](DeviceMemory& memory, int64_t bytes, DeviceMemory::Kind kind) -> Status {
    if (memory.bytes() >= bytes) return {};
    if (pending_) FOVEA_TRY(wait());
    memory.reset();
    auto fresh = device_->allocate(bytes, kind);
    if (!fresh.ok()) {
      kept_.clear();
      return fresh.status();
    }
    memory = *std::move(fresh);
    return {};
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

// The host cannot read the device's memory.
Status Executor::stage_inputs(std::span<const TensorRef> inputs) {
  inputs_.assign(inputs.begin(), inputs.end());
  staged_.resize(inputs.size());
  bool any = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!(bound().host_reads[i] || check_finite) || !device_->owns(inputs[i].data)) continue;
    staged_[i].resize(static_cast<size_t>(dtype_bytes(inputs[i].dtype, inputs[i].count()).value_or(0)));
    FOVEA_TRY(stream_->copy(staged_[i].data(), inputs[i].data, static_cast<int64_t>(staged_[i].size())));
    inputs_[i].data = staged_[i].data();
    any = true;
  }
  user_inputs_ = inputs_;
  return any ? wait() : Status();
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
    std::byte* to = host_outputs_.data() + at;
    if (!sent_) {
      if (bytes > 0) FOVEA_TRY(stream_->copy(to, outputs[i].data, bytes));
      pending_ = true;
    }
    outputs[i].data = to;
    at += (capacity + 63) / 64 * 64;
  }
  return {};
}

namespace {

// Can it be recorded? What touches the caller's memory or the host's cannot.
bool recordable(const Step& step) {
  return step.place == Place::kDevice && step.kind != Step::Kind::kTransfer && step.kind != Step::Kind::kReadSizes;
}

}  // namespace

Status Executor::run_device_steps(std::span<const Step> steps) {
  for (size_t i = 0; i < steps.size();) {
    size_t end = i;
    while (end < steps.size() && recordable(steps[end])) ++end;
    if (end == i) {
      FOVEA_TRY(run_device_step(steps[i++]));
    } else if (capture && !observer && !check_finite && bound().runs > 0) {
      FOVEA_TRY(launch_segment(steps.subspan(i, end - i)));
      i = end;
    } else {
      for (; i < end; ++i) FOVEA_TRY(run_device_step(steps[i]));
    }
  }
  return {};
}

Status Executor::launch_segment(std::span<const Step> steps) {
  std::unique_ptr<DeviceGraph>& graph = bound().graphs[steps[0].index];
  if (!graph) {
    FOVEA_TRY(stream_->begin_capture());
    Status status;
    for (const Step& step : steps)
      if (status.ok()) status = run_device_step(step);
    auto made = stream_->end_capture();
    FOVEA_TRY(std::move(status));
    FOVEA_TRY_SET(graph, std::move(made));
  }
  pending_ = true;
  ++counts_.graphs;
  return stream_->launch(*graph);
}

Status Executor::run_device_step(const Step& step) {
  current_ = &step;
  if (step.kind == Step::Kind::kReadSizes) return read_sizes();
  const Plan& plan = bound().spec->plan();
  Observed seen{&step, nullptr, nullptr};
  if (observer) {
    FOVEA_TRY_SET(seen.begin, device_->create_event());
    FOVEA_TRY_SET(seen.end, device_->create_event());
    FOVEA_TRY(stream_->record(*seen.begin));
  }
  if (step.kind == Step::Kind::kTransfer && step.dynamic) {
    FOVEA_TRY(refresh(step.inputs[0]));
    FOVEA_TRY(refresh(step.outputs[0]));
  }
  in_.clear(), out_.clear();
  for (int t : step.inputs) in_.push_back(t < 0 ? TensorRef{} : bound().refs[idx(t)]);
  for (int t : step.outputs) out_.push_back(t < 0 ? TensorRef{} : bound().refs[idx(t)]);
  // A name that is there already: this runs in the steady state, too.
  stream_->begin_range(step.node && !step.node->origin.empty() ? step.node->origin[0].c_str() : "input");
  Status status;
  if (step.kind == Step::Kind::kTransfer) {
    // What its maker has put there already (input_memory()) stays.
    if (in_[0].data != out_[0].data)
      status = stream_->copy(out_[0].data, in_[0].data, dtype_bytes(in_[0].dtype, in_[0].count()).value_or(0));
  } else if (step.kind != Step::Kind::kGroup) {
    status = device_->reformat(*stream_, in_[0], plan.tensors[idx(step.inputs[0])].format, out_[0],
                               plan.tensors[idx(step.outputs[0])].format);
  } else {
    const GroupChoice& choice = plan.assignment.groups[idx(step.choice)];
    KernelContext c;
    c.inputs = in_, c.outputs = out_, c.threads = bound().spec->threads(), c.scratch = &scratch_;
    c.attributes = choice.group.nodes[0]->attrs.get(), c.stream = stream_.get();
    if (step.sizes >= 0) c.sizes = reinterpret_cast<int64_t*>(device_sizes_.data()) + step.sizes;
    if (step.copy_residual) {
      TensorRef& from = in_[idx(choice.group.residual)];
      const int64_t elements = storage_elements(choice.formats.outputs[0].layout, from.shape());
      status = stream_->copy(out_[0].data, from.data, dtype_bytes(from.dtype, elements).value_or(0));
      from.data = out_[0].data;
    }
    if (int64_t w = bound().spec->workspace(step); w >= 0) c.workspace = device_arena_.data() + w;
    if (status.ok()) status = bound().spec->kernel(step)->run(c);
  }
  stream_->end_range();
  ++counts_.launches;
  pending_ = true;
  if (!status.ok()) return status.in(step.node ? step.node->label() : "input");
  if (observer) {
    FOVEA_TRY(stream_->record(*seen.end));
    observed_.push_back(std::move(seen));
  }
  if (check_finite && step.kind != Step::Kind::kTransfer) return check_device_outputs(step);
  return {};
}

// Device steps are heard of when they are over, by the device's own clock.
Status Executor::observe_device_steps() {
  const int64_t now = observed_.empty() ? 0 : now_ns();
  for (const Observed& o : observed_) {
    FOVEA_TRY_SET(const double behind, observed_.back().end->ms_since(*o.begin));
    FOVEA_TRY_SET(const double took, o.end->ms_since(*o.begin));
    StepEvent e;
    e.index = o.step->index, e.kernel = step_kernel(bound().spec->plan(), *o.step), e.node = o.step->node;
    if (o.step->choice >= 0) e.group = &bound().spec->plan().assignment.groups[idx(o.step->choice)].group;
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

Status Executor::run_steps(std::span<const Step> steps) {
  for (size_t i = 0; i < steps.size();) {
    size_t end = i;
    while (end < steps.size() && steps[end].place == Place::kDevice) ++end;
    if (end > i) {
      FOVEA_TRY(run_device_steps(steps.subspan(i, end - i)));
      i = end;
      continue;
    }
    if (pending_) FOVEA_TRY(wait());  // the host reads what the device made, or writes where the device may still read
    FOVEA_TRY(run_step(steps[i++]));
  }
  return {};
}

Status Executor::run_step(const Step& step) {
  current_ = &step;
  const int64_t begin = observer ? now_ns() : 0;
  if (step.kind == Step::Kind::kIf) {
    if (step.dynamic) FOVEA_TRY(refresh(step.inputs[0]));
    const bool taken = *static_cast<const uint8_t*>(bound().refs[idx(step.inputs[0])].data) != 0;
    FOVEA_TRY(run_steps(step.branches[taken ? 0 : 1]));
    return bind_sizes(step);
  }
  for (int t : step.inputs)
    if (t >= 0 && step.dynamic) FOVEA_TRY(refresh(t));
  for (int t : step.outputs)
    if (t >= 0 && step.dynamic) FOVEA_TRY(refresh_output(t));
  if (Status s = run_group(step); !s.ok()) return s.in(step.node ? step.node->label() : "input");
  scratch_.reset();
  const bool branch_copy = step.kind == Step::Kind::kCopy && step.node && !step.node->regions.empty();
  if (step.dynamic && step.kind == Step::Kind::kGroup && !branch_copy) FOVEA_TRY(bind_sizes(step));
  if (check_finite) FOVEA_TRY(check_outputs(step));
  if (observer) {
    StepEvent e;
    e.index = step.index, e.kernel = step_kernel(bound().spec->plan(), step), e.node = step.node;
    if (step.choice >= 0) e.group = &bound().spec->plan().assignment.groups[idx(step.choice)].group;
    e.begin_ns = begin, e.end_ns = now_ns(), e.outputs = out_;
    observer(e);
  }
  return {};
}

Status Executor::run_group(const Step& step) {
  in_.clear(), out_.clear();
  for (int t : step.inputs) in_.push_back(t < 0 ? TensorRef{} : bound().refs[idx(t)]);
  for (int t : step.outputs) out_.push_back(t < 0 ? TensorRef{} : bound().refs[idx(t)]);
  KernelContext c;
  c.inputs = in_, c.outputs = out_, c.threads = bound().spec->threads(), c.scratch = &scratch_;
  c.resize = resize_output, c.resize_owner = this;
  Status status;
  switch (step.kind) {
    case Step::Kind::kReformat:
      status = reformat(in_[0], bound().spec->plan().tensors[idx(step.inputs[0])].format.layout, out_[0],
                        bound().spec->plan().tensors[idx(step.outputs[0])].format.layout, c.threads);
      break;
    case Step::Kind::kCopy:
      if (step.node && !step.node->regions.empty()) FOVEA_TRY(c.set_output_shape(0, in_[0].shape()));
      if (dtype_bits(in_[0].dtype) >= 8 && out_[0].dense()) pack_elements(in_[0], static_cast<std::byte*>(out_[0].data));
      else finish_elements(c, out_[0], load_elements(c, in_[0]));
      break;
    case Step::Kind::kMaterialise: {
      auto* values = scratch_.array<int64_t>(static_cast<int64_t>(step.elements.size()));
      for (size_t i = 0; i < step.elements.size(); ++i) values[i] = bound().values[idx(step.elements[i])];
      if (is_float(out_[0].dtype)) store(c, out_[0], reinterpret_cast<const double*>(values));
      else store(c, out_[0], values);
      break;
    }
    default: {
      const GroupChoice& choice = bound().spec->plan().assignment.groups[idx(step.choice)];
      c.attributes = choice.group.nodes[0]->attrs.get();
      if (step.copy_residual) {
        const TensorRef& from = in_[idx(choice.group.residual)];
        const int64_t elements = storage_elements(choice.formats.outputs[0].layout, from.shape());
        std::memcpy(out_[0].data, from.data, static_cast<size_t>(*dtype_bytes(from.dtype, elements)));
        in_[idx(choice.group.residual)].data = out_[0].data;
      }
      if (const PreparedKernel* kernel = bound().spec->kernel(step)) {
        if (int64_t w = bound().spec->workspace(step); w >= 0) c.workspace = arena_.get() + w;
        status = kernel->run(c);
      } else {
        status = find_reference(step.node->op->name)(c);
      }
    }
  }
  for (size_t k = 0; k < step.outputs.size(); ++k)
    if (step.outputs[k] >= 0) bound().refs[idx(step.outputs[k])] = out_[k];
  return status;
}

// The sizes that a step's outputs turned out to have become known to the shape program.
Status Executor::bind_sizes(const Step& step) {
  if (!step.node) return {};
  auto bind = [&](const Node& node) {
    bool any = false;
    for (const SizeDefinition& d : node.sizes) {
      const Value* v = node.outputs[idx(d.output)];
      const int slot = bound().spec->plan().program.symbol_slot(d.symbol->name);
      if (!v || slot < 0) continue;
      for (int t : step.outputs) {
        if (t < 0 || bound().spec->plan().tensors[idx(t)].value != v) continue;
        bound().values[idx(slot)] = bound().refs[idx(t)].dims[idx(d.dim)], bound().known[idx(slot)] = 1, any = true;
      }
    }
    return any;
  };
  bool any = false;
  if (step.choice >= 0) {
    for (const Node* n : bound().spec->plan().assignment.groups[idx(step.choice)].group.nodes) any |= bind(*n);
  } else {
    any = bind(*step.node);
  }
  return any ? bound().spec->plan().program.run(bound().values, bound().known) : Status();
}

std::optional<Executor::NotFinite> Executor::find_not_finite(const TensorRef& r, bool nan_only) {
  if (!is_float(r.dtype)) return std::nullopt;
  auto scan = [&](const auto* values) -> std::optional<NotFinite> {
    for (int64_t i = 0; i < r.count(); ++i)
      if (nan_only ? std::isnan(values[i]) : !std::isfinite(values[i]))
        return NotFinite{i, std::isnan(values[i]) ? "NaN" : "infinity"};
    return std::nullopt;
  };
  KernelContext c;
  c.scratch = &scratch_;
  // float64 on its own: what it holds need not fit into float32.
  const auto found = r.dtype == DType::kFloat64 ? scan(load<double>(c, r)) : scan(load<float>(c, r));
  scratch_.reset();
  return found;
}

// A fused ReLU may turn NaN into 0: NaN that came in from outside is seen only here.
Status Executor::check_inputs() {
  for (size_t i = 0; i < user_inputs_.size(); ++i)
    if (auto bad = find_not_finite(user_inputs_[i]))
      return invalid_argument("input '{}' holds {} (element {} of {})", bound().spec->plan().graph->inputs[i]->name,
                              bad->what, bad->element, user_inputs_[i].count());
  return {};
}

// So may it NaN that came from weights. Only groups around weights are looked at, and infinity only in the weights
// themselves: elsewhere infinite constants are masks, bounds and paddings that are meant.
Status Executor::check_weights() {
  auto has_weights = [](const Node& n) {
    return n.is("Conv") || n.is("ConvTranspose") || n.is("Gemm") || n.is("MatMul") || n.is("BatchNormalization") ||
           n.is("InstanceNormalization") || n.is("GroupNormalization") || n.is("LayerNormalization");
  };
  for (const GroupChoice& choice : bound().spec->plan().assignment.groups) {
    if (!has_weights(*choice.group.nodes[0])) continue;
    for (const Node* node : choice.group.nodes)
      for (const Value* v : node->inputs) {
        if (!v || !v->constant) continue;
        if (auto bad = find_not_finite(TensorRef::of(*v->constant), /*nan_only=*/!has_weights(*node)))
          return invalid_model("{}: its constant '{}' holds {} (element {} of {}): the model's weights are damaged",
                               node->label(), v->name, bad->what, bad->element, v->constant->count());
      }
  }
  bound().weights_checked = true;
  return {};
}

Status Executor::check_outputs(const Step& step) {
  for (size_t k = 0; k < out_.size(); ++k) {
    if (step.outputs[k] < 0) continue;
    const PlanTensor& t = bound().spec->plan().tensors[idx(step.outputs[k])];
    TensorRef r = out_[k];
    if (t.format.layout != Layout::kPlain) {
      const int64_t elements = storage_elements(t.format.layout, r.shape());
      r = TensorRef::dense_of(r.dtype, std::span(&elements, 1), r.data);
    }
    const auto bad = find_not_finite(r);
    if (!bad) continue;
    std::string nodes;
    const auto* group = step.choice >= 0 ? &bound().spec->plan().assignment.groups[idx(step.choice)].group : nullptr;
    if (group)
      for (const Node* node : group->nodes) nodes += (nodes.empty() ? "" : " + ") + node->label();
    else if (step.node) nodes = step.node->label();
    return invalid_argument("{} gave {} in '{}' (element {} of {}): look at the input, or at this node's weights",
                            nodes, bad->what, t.value->name, bad->element, r.count());
  }
  return {};
}

}  // namespace fovea::core
