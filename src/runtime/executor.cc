#include "runtime/executor.h"

#include <algorithm>
#include <cstring>

#include "kernels/reference/reference.h"
#include "runtime/memory.h"

namespace fovea::core {
namespace {

size_t idx(int i) { return static_cast<size_t>(i); }

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
    if (s.device())
      fresh.host_reads = inputs_that_the_host_reads(plan), fresh.device_reads = inputs_that_the_device_reads(plan);
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
  for (const DeviceMemory* m : {&device_arena_, &host_outputs_, &host_inputs_})
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
  const DeviceRange range(stream_.get(), "run");
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
  sizes_read_ = plan.device_sizes.empty(), sent_ = false, sent_to_.clear();
  Status status;
  try {
    if (check_finite) status = check_inputs();
    if (check_finite && status.ok() && !bound().weights_checked) status = check_weights();
    if (status.ok()) status = run_steps(plan.run_steps);
  } catch (const std::bad_alloc&) {
    status =
        system_error("out of memory while running {}", current_ && current_->node ? current_->node->label() : "a step");
  }
  if (status.ok() && device_) status = inputs_asked();
  if (!status.ok()) {  // what was begun works on memory that the next run, or the caller, will write
    if (beside_) (void)beside_->synchronize();
    if (pending_) (void)wait();
  }
  if (status.ok() && !observer && !check_finite) ++bound().runs;
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
  const DeviceRange range(stream_.get(), "outputs");
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
  const int64_t begin = observer ? StepEvent::now_ns() : 0;
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
    StepEvent e = event_of(step);
    e.begin_ns = begin, e.end_ns = StepEvent::now_ns(), e.outputs = out_;
    observer(e);
  }
  return {};
}

StepEvent Executor::event_of(const Step& step) const {
  const Plan& plan = bound().spec->plan();
  StepEvent e;
  e.index = step.index, e.kernel = step_kernel(plan, step), e.node = step.node;
  if (step.choice >= 0) e.group = &plan.assignment.groups[idx(step.choice)].group;
  return e;
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

}  // namespace fovea::core
