#include "runtime/specialisation.h"

#include <algorithm>
#include <atomic>
#include <new>
#include <optional>
#include <set>

#include "base/parallel.h"
#include "ir/infer.h"
#include "kernels/prebuild.h"
#include "kernels/reference/reference.h"
#include "runtime/arena.h"

namespace fovea::core {

constexpr int64_t kPoolAbove = int64_t{1}
                               << 40;  // a bound past this is no bound: such memory is taken when its size is known

std::vector<int64_t> Specialisation::capacity(int tensor) const {
  return sizes_->upper(plan_->tensors[static_cast<size_t>(tensor)].shape);
}

int64_t Specialisation::shape_tensor_bytes() const {
  int64_t total = 0;
  for (const auto& t : shape_tensors_)
    if (t) total += static_cast<int64_t>(t->bytes().size());
  for (const DeviceMemory& m : device_shape_tensors_) total += m.bytes();
  return total;
}

namespace {

// Adds up what is packed.
class CountedWeights final : public PackedWeights {
 public:
  explicit CountedWeights(PackedWeights& weights) : weights_(weights) {}
  std::shared_ptr<void> find(const std::string& key) override { return weights_.find(key); }
  std::shared_ptr<void> put(const std::string& key, std::shared_ptr<void> packed, int64_t bytes) override {
    auto known = weights_.put(key, packed, bytes);
    if (known == packed) bytes_ += bytes;
    return known;
  }
  int64_t bytes() const { return bytes_; }

 private:
  PackedWeights& weights_;
  std::atomic<int64_t> bytes_ = 0;
};

}  // namespace

class Specialiser {
 public:
  Specialiser(Specialisation& s, PackedWeights& weights, std::vector<Specialisation::Refusal>& refusals)
      : s_(s), plan_(*s.plan_), weights_(weights), refusals_(refusals) {}

  Status run(const SymbolValues& symbols) {
    FOVEA_TRY_SET(Sizes sizes, Sizes::make(*plan_.graph, symbols));
    s_.sizes_ = std::make_shared<const Sizes>(std::move(sizes));
    FOVEA_TRY(sizes_go_together());
    FOVEA_TRY(evaluate());
    FOVEA_TRY(places());
    s_.kernels_.resize(static_cast<size_t>(plan_.steps));
    s_.workspaces_.assign(static_cast<size_t>(plan_.steps), -1);
    s_.windows_.assign(static_cast<size_t>(plan_.steps), {});
    s_.shared_.assign(static_cast<size_t>(plan_.steps), 0);
    for (const Step& step : plan_.shape_steps) FOVEA_TRY(shape_step(step).in(label(step)));
    if (stream_) FOVEA_TRY(stream_->synchronize());
    scratch_.reset();
    std::vector<Prebuild> work;
    collect_prebuilds(plan_.run_steps, work);
    prebuild_all(std::move(work));
    prepare_ahead();
    FOVEA_TRY(prepare(plan_.run_steps));
    FOVEA_TRY(std::move(refused_));
    s_.own_bytes_ += weights_.bytes();
    FOVEA_TRY(layout_arenas());
    drop_unused_shape_tensors();
    return {};
  }

 private:
  static size_t idx(int i) { return static_cast<size_t>(i); }
  static std::string label(const Step& step) { return step.node ? step.node->label() : "input"; }

  // Inference lets two sizes be equal, or one be a multiple of another, where it cannot know; with numbers it can.
  Status sizes_go_together() const {
    std::unique_ptr<Graph> concrete = plan_.graph->clone();
    for (Value* v : concrete->inputs)
      for (Dim& d : v->shape) d = Dim(s_.sizes_->upper(d));
    if (Status s = infer_graph(*concrete); !s.ok())
      return s.kind() == ErrorKind::kInvalidModel
                 ? invalid_argument("the model cannot take these sizes: {}", s.message())
                 : s;
    return {};
  }

  Status evaluate() {
    s_.values_.assign(idx(plan_.program.slots()), 0);
    s_.known_.assign(idx(plan_.program.slots()), 0);
    for (const auto& [name, value] : s_.sizes_->values())
      if (int slot = plan_.program.symbol_slot(name); slot >= 0)
        s_.values_[idx(slot)] = value, s_.known_[idx(slot)] = 1;
    return plan_.program.run(s_.values_, s_.known_);
  }

  Status places() {
    s_.places_.resize(plan_.tensors.size());
    for (size_t i = 0; i < plan_.tensors.size(); ++i) {
      const PlanTensor& t = plan_.tensors[i];
      auto& p = s_.places_[i];
      std::vector<int64_t> dims = s_.sizes_->upper(t.shape);
      for (int64_t d : dims)
        if (d < 0)
          return invalid_argument("'{}' would have a negative size for these inputs: {}", t.value->name,
                                  to_string(t.shape));
      auto count = element_count(dims);
      auto bytes = count ? dtype_bytes(t.dtype(), storage_elements(t.format.layout, dims)) : std::nullopt;
      p.pool = t.dynamic && (!bytes || *bytes > kPoolAbove);
      if (!p.pool && !bytes)
        return invalid_argument("'{}' of shape {} is too large", t.value->name, to_string(t.shape));
      if (p.pool) std::fill(dims.begin(), dims.end(), 0);
      p.ref = TensorRef::dense_of(t.dtype(), dims, nullptr);
      for (size_t d = 0; d < t.strides.size(); ++d) p.ref.strides[d] = s_.values_[idx(t.strides[d])];
      if (t.offset >= 0) p.element_offset = s_.values_[idx(t.offset)];
      if (t.home == PlanTensor::Home::kConstant) {
        const Value* root = plan_.tensors[idx(t.input)].value;
        p.ref.data = const_cast<std::byte*>(root->constant->bytes().data());
      }
    }
    return {};
  }

  // ---- shape phase: run once, now
  Result<TensorRef> shape_tensor(int tensor) {
    const PlanTensor& t = plan_.tensors[idx(tensor)];
    auto& p = s_.places_[idx(tensor)];
    if (t.home != PlanTensor::Home::kBuffer) return p.ref;
    const PlanTensor& root = plan_.tensors[idx(plan_.buffers[idx(t.buffer)].tensor)];
    const int64_t elements = storage_elements(root.format.layout, s_.sizes_->upper(root.shape));
    const int64_t shift = p.element_offset * std::max(1, dtype_bits(t.dtype()) / 8);
    if (t.format.place == Place::kDevice) {
      s_.device_shape_tensors_.resize(plan_.buffers.size());
      DeviceMemory& memory = s_.device_shape_tensors_[idx(t.buffer)];
      if (!memory.data()) {
        const int64_t bytes = std::max<int64_t>(dtype_bytes(root.dtype(), elements).value_or(0), 1);
        FOVEA_TRY_SET(memory, s_.device_->allocate(bytes, DeviceMemory::Kind::kDevice));
        s_.own_bytes_ += bytes;
      }
      p.ref.data = memory.data() + shift;
      return p.ref;
    }
    s_.shape_tensors_.resize(plan_.buffers.size());
    auto& memory = s_.shape_tensors_[idx(t.buffer)];
    if (!memory) {
      FOVEA_TRY_SET(memory, Tensor::allocate(root.dtype(), {elements}));
      s_.own_bytes_ += static_cast<int64_t>(memory->bytes().size());
    }
    p.ref.data = memory->mutable_data() + shift;
    return p.ref;
  }

  Status shape_step(const Step& step) {
    std::vector<TensorRef> in, out;
    for (int t : step.inputs) {
      if (t < 0) in.emplace_back();
      else {
        FOVEA_TRY_SET(TensorRef r, shape_tensor(t));
        in.push_back(r);
      }
    }
    for (int t : step.outputs) {
      if (t < 0) out.emplace_back();
      else {
        FOVEA_TRY_SET(TensorRef r, shape_tensor(t));
        out.push_back(r);
      }
    }
    // Views of the outputs made by reshapes get their address when they are first read.
    KernelContext c;
    c.inputs = in, c.outputs = out, c.threads = s_.threads_, c.scratch = &scratch_;
    c.attributes = step.node ? step.node->attrs.get() : nullptr;
    return execute(step, c);
  }

  Status execute(const Step& step, KernelContext& c) {
    if (step.place == Place::kDevice) return execute_on_device(step, c);
    switch (step.kind) {
      case Step::Kind::kGroup: return find_reference(step.node->op->name)(c);
      case Step::Kind::kReformat:
        return reformat(c.in(0), plan_.tensors[idx(step.inputs[0])].format.layout, c.out(),
                        plan_.tensors[idx(step.outputs[0])].format.layout, s_.threads_);
      case Step::Kind::kCopy: finish_elements(c, c.out(), load_elements(c, c.in(0))); return {};
      case Step::Kind::kMaterialise: return materialise(step, c.out());
      default: return internal_error("a branch in the shape phase");
    }
  }

  Status execute_on_device(const Step& step, const KernelContext& c) {
    if (!stream_) {
      FOVEA_TRY_SET(stream_, s_.device_->create_stream());
    }
    if (step.kind == Step::Kind::kTransfer)
      return stream_->copy(c.out().data, c.in(0).data, dtype_bytes(c.out().dtype, c.out().count()).value_or(0));
    return s_.device_->reformat(*stream_, c.in(0), plan_.tensors[idx(step.inputs[0])].format, c.out(),
                                plan_.tensors[idx(step.outputs[0])].format);
  }

  Status materialise(const Step& step, const TensorRef& out) {
    KernelContext c;
    auto* values = scratch_.array<int64_t>(static_cast<int64_t>(step.elements.size()));
    for (size_t i = 0; i < step.elements.size(); ++i) values[i] = s_.values_[idx(step.elements[i])];
    return write_elements(c, out, values);
  }

 public:
  // Floats travel as the bits of a double in the shape program.
  static Status write_elements(KernelContext& c, const TensorRef& out, const int64_t* values) {
    if (is_float(out.dtype)) store(c, out, reinterpret_cast<const double*>(values));
    else store(c, out, values);
    return {};
  }

 private:
  // ---- kernels
  const GroupChoice* choice_of(const Step& step) const {
    return step.kind == Step::Kind::kGroup && step.choice >= 0 ? &plan_.assignment.groups[idx(step.choice)] : nullptr;
  }
  PrepareContext context_of(const GroupChoice& choice) {
    PrepareContext context =
        describe_group(choice.group, choice.formats, *s_.sizes_, s_.threads_, weights_, s_.device_);
    context.variant = choice.variant, context.workspace_limit = choice.workspace_limit;
    return context;
  }

  // Equal groups once.
  void collect_prebuilds(std::span<const Step> steps, std::vector<Prebuild>& work) {
    std::set<std::string> seen;
    for (const Step& step : steps) {
      for (const auto& b : step.branches) collect_prebuilds(b, work);
      const GroupChoice* choice = choice_of(step);
      if (!choice || !choice->row || !choice->row->prebuild) continue;
      PrepareContext context = context_of(*choice);
      if (seen.insert(timing_key(*choice->row, context) + choice->variant).second)
        work.push_back({choice->row, std::move(context)});
    }
  }

  void collect_device_steps(std::span<const Step> steps, std::vector<const Step*>& found) {
    for (const Step& step : steps) {
      for (const auto& b : step.branches) collect_device_steps(b, found);
      if (const GroupChoice* c = choice_of(step); c && c->row && step.place == Place::kDevice) found.push_back(&step);
    }
  }

  // Weights are packed and go to the device, libraries are asked: much of it waits for others than the cores. The
  // cores' own kernels are not among them, for each is prepared by all cores.
  void prepare_ahead() {
    std::vector<const Step*> steps;
    collect_device_steps(plan_.run_steps, steps);
    ahead_.resize(idx(plan_.steps));
    side_by_side(steps.size(), [&](size_t i) {
      auto& to = ahead_[idx(steps[i]->index)];
      try {
        const GroupChoice& choice = *choice_of(*steps[i]);
        to = choice.row->prepare(context_of(choice));
      } catch (const std::bad_alloc&) {
        to = system_error("out of memory");
      } catch (const std::exception& e) {
        to = internal_error("{}", e.what());
      }
    });
  }

  Result<std::unique_ptr<PreparedKernel>> prepare(const Step& step, const GroupChoice& choice) {
    if (auto& ahead = ahead_[idx(step.index)]) return *std::move(ahead);
    return choice.row->prepare(context_of(choice));
  }

  Status prepare(std::span<const Step> steps) {
    for (const Step& step : steps) {
      for (const auto& b : step.branches) FOVEA_TRY(prepare(b));
      const GroupChoice* const found = choice_of(step);
      if (!found || !found->row) continue;
      const GroupChoice& choice = *found;
      auto kernel = prepare(step, choice);
      if (!kernel.ok()) {
        Status s = kernel.status().in(fmt::format("{} with {}", label(step), choice.row->name));
        if (s.kind() != ErrorKind::kUnsupported) return s;
        // The others are asked, too, so that one new plan does without all that refuse.
        refusals_.push_back({node_positions(*plan_.graph).at(choice.group.nodes.back()), std::string(choice.row->name),
                             kernel.status().message()});
        if (refused_.ok()) refused_ = std::move(s);
        continue;
      }
      s_.kernels_[idx(step.index)] = *std::move(kernel);
    }
    return {};
  }

  Status layout_arenas() {
    std::vector<int64_t> offset(plan_.buffers.size(), -1);
    FOVEA_TRY(ArenaLayout(s_, Place::kHost).run(offset));
    if (s_.device_) FOVEA_TRY(ArenaLayout(s_, Place::kDevice).run(offset));
    for (size_t i = 0; i < plan_.tensors.size(); ++i) {
      const PlanTensor& t = plan_.tensors[i];
      auto& p = s_.places_[i];
      if (t.home != PlanTensor::Home::kBuffer) continue;
      const PlanBuffer& buffer = plan_.buffers[idx(t.buffer)];
      p.pool = s_.places_[idx(buffer.tensor)].pool;
      if (p.pool && t.format.place == Place::kDevice)
        return unsupported("'{}' has no bound on the device: {}", t.value->name, to_string(t.shape));
      const int64_t shift = p.element_offset * std::max(1, dtype_bits(t.dtype()) / 8);
      if (buffer.shape_phase) {
        if (t.format.place == Place::kDevice) {
          if (!s_.device_shape_tensors_.empty() && s_.device_shape_tensors_[idx(t.buffer)].data())
            p.ref.data = s_.device_shape_tensors_[idx(t.buffer)].data() + shift;
        } else if (const auto& memory = s_.shape_tensors_.empty() ? nullptr : s_.shape_tensors_[idx(t.buffer)]) {
          p.ref.data = memory->mutable_data() + shift;
        }
      } else if (!p.pool) {
        p.arena = offset[idx(t.buffer)] + shift;
      }
    }
    return {};
  }

  void used_by(std::span<const Step> steps, std::vector<uint8_t>& used) const {
    for (const Step& step : steps) {
      for (const auto& b : step.branches) used_by(b, used);
      for (int t : step.inputs)
        if (t >= 0 && plan_.tensors[idx(t)].home == PlanTensor::Home::kBuffer)
          used[idx(plan_.tensors[idx(t)].buffer)] = 1;
    }
  }

  void drop_unused_shape_tensors() {
    std::vector<uint8_t> used(plan_.buffers.size(), 0);
    used_by(plan_.run_steps, used);
    for (int t : plan_.outputs)
      if (plan_.tensors[idx(t)].home == PlanTensor::Home::kBuffer) used[idx(plan_.tensors[idx(t)].buffer)] = 1;
    for (size_t b = 0; b < plan_.buffers.size(); ++b) {
      if (used[b]) continue;
      if (b < s_.shape_tensors_.size() && s_.shape_tensors_[b]) {
        s_.own_bytes_ -= static_cast<int64_t>(s_.shape_tensors_[b]->bytes().size());
        s_.shape_tensors_[b].reset();
      }
      if (b < s_.device_shape_tensors_.size()) {
        s_.own_bytes_ -= s_.device_shape_tensors_[b].bytes();
        s_.device_shape_tensors_[b].reset();
      }
    }
  }

  Specialisation& s_;
  const Plan& plan_;
  CountedWeights weights_;
  std::vector<Specialisation::Refusal>& refusals_;
  Status refused_;                                                             // the first of them
  std::vector<std::optional<Result<std::unique_ptr<PreparedKernel>>>> ahead_;  // by step
  std::unique_ptr<DeviceStream> stream_;                                       // of the shape phase
  Scratch scratch_;
};

Result<std::shared_ptr<const Specialisation>> Specialisation::make(std::shared_ptr<const Plan> plan,
                                                                   const SymbolValues& symbols, int threads,
                                                                   PackedWeights& weights,
                                                                   std::vector<Refusal>& refusals, Device* device) {
  std::shared_ptr<Specialisation> s(new Specialisation);
  s->plan_ = std::move(plan), s->threads_ = threads, s->device_ = device;
  ThreadCountScope scope(threads);
  FOVEA_TRY(Specialiser(*s, weights, refusals).run(symbols));
  return std::shared_ptr<const Specialisation>(std::move(s));
}

}  // namespace fovea::core
