// Executor: one context's memory and the loop over a specialisation's steps.
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string_view>

#include "runtime/specialisation.h"

namespace fovea::core {

// What an observer hears of each step of a run. Times in nanoseconds of a steady clock.
struct StepEvent {
  int index = 0;
  std::string_view kernel;       // row's name, or "reference", "reformat", "copy", "materialise"
  const Node* node = nullptr;    // may be null for reformats of inputs
  const Group* group = nullptr;  // null where it is no group
  int64_t begin_ns = 0, end_ns = 0;
  std::span<const TensorRef> outputs;

  static int64_t now_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};
using StepObserver = std::function<void(const StepEvent&)>;

// Do two pieces of memory share a byte?
inline bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return a_bytes > 0 && b_bytes > 0 && x < y + b_bytes && y < x + a_bytes;
}

class Executor {
 public:
  static constexpr size_t kKept = 4;  // specialisations whose state is kept

  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Takes the memory that the specialisation needs. In the steady state (one of the last kKept) nothing is allocated.
  Status bind(std::shared_ptr<const Specialisation> specialisation);
  const Specialisation* specialisation() const { return kept_.empty() ? nullptr : bound().spec.get(); }

  // Runs; inputs are dense, in the graph's order, on the host or in the device's memory, and read in place. Fills
  // `outputs` with looks at this executor's memory on the host (or the inputs', or constants), valid until the next run
  // or bind.
  Status run(std::span<const TensorRef> inputs, std::span<TensorRef> outputs);
  // The two halves of run(): what a device does need not be over when enqueue() returns; finish() waits. Inputs in
  // pageable memory may be changed after enqueue() unless a network passes them through, others may not. The processor
  // alone does everything in enqueue().
  Status enqueue(std::span<const TensorRef> inputs);
  Status finish(std::span<TensorRef> outputs);
  // finish() without a way to the host: outputs that the device made are looks at its memory, their shapes the most
  // that can be, and the stream may still be at work on them.
  Status finish_on_device(std::span<TensorRef> outputs);
  DeviceStream* stream() const { return stream_.get(); }  // null: the processor alone

  // ---- in and out of a device without a detour (executor_direct.cc), for what is bound
  // Where the device reads input `i`. Whoever fills it on stream() and gives it to enqueue() as that input saves a
  // copy. Null where the run brings the input over later, or the host reads it.
  std::byte* input_memory(size_t i) const;
  // Output `i` goes to `data`, in the device's memory, until the next bind(); finish_on_device() belongs to it. False
  // where it cannot: then it goes where it did.
  bool put_output(size_t i, void* data);
  // Asks for the copies that finish() would wait for, so that finish() has only to wait. What the device made goes to
  // to[i], which has room for the most that it can be, or without one to memory of this executor on the host. Outputs
  // whose size the device decides are sent only if they are small at their most; finish() sends the others.
  Status send_outputs(std::span<void* const> to = {});
  // Works on the other's stream, behind what that was asked for; before the first bind.
  void share_stream(const Executor& other) { stream_ = other.stream_; }

  struct Counts {  // of the last run
    int synchronisations = 0, launches = 0, graphs = 0;
    DeviceCounts made;  // by the device, for this run: nothing in the steady state
  };
  const Counts& counts() const { return counts_; }

  // Does a run write there? Arena and pools, not constants and what else it only reads.
  bool writes_to(const void* data, size_t bytes) const;

  StepObserver observer;
  bool check_finite = false;  // inputs, weights, and what each kernel gives; the error names the ONNX nodes
  int64_t arena_bytes() const { return arena_size_; }
  int64_t device_bytes() const { return device_arena_.bytes() + device_sizes_.bytes(); }
  bool capture = true;  // a device's steps are recorded at the second run, and started as a whole from then on

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t(64)); }
  };
  using Memory = std::unique_ptr<std::byte, Free>;
  static Memory take(int64_t bytes);  // null if there is not as much
  struct Pool {
    Memory data;
    int64_t size = 0;
  };
  struct Segment {
    std::unique_ptr<DeviceGraph> graph;
    std::string name;  // to profilers
  };
  // What a run of one specialisation works on.
  struct Bound {
    std::shared_ptr<const Specialisation> spec;
    const std::byte* arena = nullptr;  // that refs point into
    const std::byte* device_arena = nullptr;
    int runs = 0;  // as they are recorded: once libraries have made what they need for each stream
    // By input: does a step of the host read it, or is it an output? Is it brought to the device?
    std::vector<bool> host_reads, device_reads;
    std::map<int, Segment> graphs;  // by the index of the first step
    std::vector<Pool> pools;        // by buffer
    std::vector<TensorRef> refs;
    bool moved = false;  // put_output(): refs that point elsewhere
    std::vector<int64_t> values;
    std::vector<uint8_t> known;
    bool weights_checked = false;
  };
  Bound& bound() { return kept_.front(); }
  const Bound& bound() const { return kept_.front(); }
  Status run_steps(std::span<const Step> steps);
  StepEvent event_of(const Step& step) const;  // without times
  Status run_step(const Step& step);
  Status run_group(const Step& step);
  Status refresh(int tensor);  // a dynamic tensor's shape and address, now that sizes are known
  Status refresh_output(int tensor);
  Status bind_sizes(const Step& step);
  void* address(int tensor) const;
  struct NotFinite {
    int64_t element;
    const char* what;  // "NaN", "infinity"
  };
  std::optional<NotFinite> find_not_finite(const TensorRef& r, bool nan_only = false);
  Status check_inputs();
  Status check_weights();
  Status check_outputs(const Step& step);
  static Status resize_output(void* owner, size_t index, TensorRef& output, std::span<const int64_t> shape);

  // ---- the device's half (executor_device.cc)
  Status bind_device(const Specialisation& s);
  Status reserve(DeviceMemory& memory, int64_t bytes, DeviceMemory::Kind kind);
  Status stage_inputs(std::span<const TensorRef> inputs);
  Status make_room_for_inputs(int64_t bytes);
  Status inputs_asked();
  Status transfer(const Step& step);
  Status run_device_steps(std::span<const Step> steps);
  Status run_device_step(const Step& step, DeviceStream& stream);
  Status launch_segment(std::span<const Step> steps);
  Status run_segment(std::span<const Step> steps);
  Result<DeviceEvent*> beside_event(DeviceStream& stream, size_t number);
  Status observe_device_steps();
  Status check_device_outputs(const Step& step);
  Status wait();  // until the device has nothing of ours left to do
  Status read_sizes();
  Status ask_sizes();
  Status take_sizes();
  int64_t capacity_bytes(size_t output) const;
  std::byte* destination(size_t output, int64_t at) const;
  Status copy_outputs_to_host(std::span<TensorRef> outputs);

  std::list<Bound> kept_;  // most recent first, bound() at the front
  Memory arena_;           // shared by them
  int64_t arena_size_ = 0;
  std::vector<TensorRef> in_, out_;
  std::span<const TensorRef> user_inputs_;
  const Step* current_ = nullptr;
  Scratch scratch_;

  Device* device_ = nullptr;
  std::shared_ptr<DeviceStream> stream_;
  std::unique_ptr<DeviceStream> beside_;  // of steps that run beside others; stream_ waits for it before a segment ends
  std::vector<std::unique_ptr<DeviceEvent>> beside_events_;
  DeviceMemory device_arena_;               // shared by them, as arena_ is
  DeviceMemory device_sizes_, host_sizes_;  // words that the device writes, and where the host reads them
  DeviceMemory host_outputs_;
  std::vector<TensorRef> inputs_;               // the caller's, and what is staged of them
  std::vector<std::vector<std::byte>> staged_;  // inputs in the device's memory that the host reads
  DeviceMemory host_inputs_;                    // pinned: inputs in pageable memory on their way to the device
  std::vector<int64_t> pinned_at_;              // by input: where in there; -1: it is not
  std::unique_ptr<DeviceEvent> inputs_over_;    // then host_inputs_ may be written again
  bool pending_ = false, sizes_read_ = true;
  void count_made();
  bool sent_ = false;           // are the outputs on their way to the host?
  std::vector<void*> sent_to_;  // send_outputs()
  Counts counts_;
  DeviceCounts made_before_;
  struct Observed {
    const Step* step;
    std::unique_ptr<DeviceEvent> begin, end;
  };
  std::vector<Observed> observed_;
};

}  // namespace fovea::core
