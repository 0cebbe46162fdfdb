// Specialisation: a plan with numbers in it, for one set of input shapes and one thread count. Immutable and shared.
#pragma once

#include <memory>

#include "plan/plan.h"

namespace fovea::core {

class Specialisation {
 public:
  struct Refusal {  // a kernel that would not serve these sizes
    int position = -1;
    std::string kernel, reason;
  };
  // `refusals` are all kernels that failed with kUnsupported, if that is the failure: the caller plans again without
  // them.
  static Result<std::shared_ptr<const Specialisation>> make(std::shared_ptr<const Plan> plan,
                                                            const SymbolValues& symbols, int threads,
                                                            PackedWeights& weights, std::vector<Refusal>& refusals,
                                                            Device* device = nullptr);

  const Plan& plan() const { return *plan_; }
  int threads() const { return threads_; }
  Device* device() const { return device_; }  // null: the processor alone
  int64_t arena_bytes(Place place = Place::kHost) const { return arena_bytes_[static_cast<size_t>(place)]; }
  // What it keeps alive: shape-phase tensors, and the weights that were packed for it. Weights that it shares are
  // counted with the specialisation that was first.
  int64_t bytes() const { return own_bytes_; }
  int64_t shape_tensor_bytes() const;

  // Slots of the shape program: values, and which are known before a run.
  std::span<const int64_t> values() const { return values_; }
  std::span<const uint8_t> known() const { return known_; }

  struct TensorPlace {
    TensorRef
        ref;  // dims and strides as far as known (capacity where data decides); data for constants and shape results
    int64_t arena = -1;  // byte offset of the tensor's first element, for buffers in the arena
    int64_t element_offset = 0;
    bool pool = false;  // no bound is known: memory comes from the context's pool
  };
  const TensorPlace& place(int tensor) const { return places_[static_cast<size_t>(tensor)]; }
  std::vector<int64_t> capacity(int tensor) const;
  const PreparedKernel* kernel(const Step& step) const { return kernels_[static_cast<size_t>(step.index)].get(); }
  int64_t workspace(const Step& step) const {
    return workspaces_[static_cast<size_t>(step.index)];
  }  // arena offset, -1 none

  // Does it run beside others? Of the steps that can, those whose memory the arena has room for.
  bool beside(const Step& step) const { return window(step).before >= 0; }
  // Between which positions: step.after and step.before, or as far as there is room.
  struct Window {
    int after = -1, before = -1;
  };
  const Window& window(const Step& step) const { return windows_[static_cast<size_t>(step.index)]; }
  // Bytes of its input 0 in which output 0 lies, too.
  int64_t shared(const Step& step) const { return shared_[static_cast<size_t>(step.index)]; }

 private:
  friend class ArenaLayout;
  friend class Specialiser;
  Specialisation() = default;
  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const Sizes> sizes_;
  int threads_ = 1;
  Device* device_ = nullptr;
  int64_t arena_bytes_[2] = {0, 0}, own_bytes_ = 0;
  std::vector<int64_t> values_;
  std::vector<uint8_t> known_;
  std::vector<TensorPlace> places_;
  std::vector<std::unique_ptr<PreparedKernel>> kernels_;
  std::vector<int64_t> workspaces_;
  std::vector<Window> windows_;                         // by step
  std::vector<int64_t> shared_;                         // by step
  std::vector<std::shared_ptr<Tensor>> shape_tensors_;  // by buffer, on the host
  std::vector<DeviceMemory> device_shape_tensors_;      // by buffer, on the device
};

}  // namespace fovea::core
