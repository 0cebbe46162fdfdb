// Engine: a compiled model, immutable, shared by any number of threads. Context: one caller's memory for running it.
#pragma once

#include <fovea/device.h>
#include <fovea/error.h>
#include <fovea/tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fovea {

enum class LogLevel { kDebug, kInfo, kWarning };

struct EngineOptions {
  Device device;                 // where runs happen; what it has no kernel for runs on the CPU
  int threads = 0;               // of a run on the CPU; 0: all cores that the process may use; not negative
  std::string timing_cache;      // measured times, used if the engine has to be planned anew for this machine
  int max_specialisations = 32;  // shapes kept ready at once, at least 1
  int64_t max_specialisation_bytes = int64_t{1} << 30;    // their packed weights and tensors; the newest always stays
  std::function<void(LogLevel, const std::string&)> log;  // nothing is ever printed
};

struct TensorInfo {
  std::string name;
  ElementType type = ElementType::kUndefined;
  std::vector<int64_t> shape;         // -1 where the size is not fixed
  std::vector<std::string> symbolic;  // "n", "300", "k0": every size as text
};

// A step of a run, as an observer hears of it.
struct StepInfo {
  int index = 0;
  std::string kernel;
  std::vector<std::string> onnx_nodes;  // what it stands for
  int64_t begin_ns = 0, end_ns = 0;     // of a steady clock
};

class Context;

// A default-constructed or moved-from handle holds no engine: what it is asked throws InvalidArgument.
class FOVEA_API Engine {
 public:
  // Opens a .fov file. Throws InvalidModel for a damaged one, InvalidArgument for a file that cannot be opened or for
  // options that make no sense. An engine made on another machine is planned anew: see replanned().
  static Engine open(const std::string& path, const EngineOptions& options = {});

  std::vector<TensorInfo> inputs() const;
  std::vector<TensorInfo> outputs() const;
  int threads() const;
  std::string replanned() const;  // why the recipe in the file was not used; empty if it was
  std::string fovea_version() const, git_hash() const, source_name() const;  // of the file
  bool has_card() const;                                                     // can it take pictures (Detector)?
  std::string card() const;                                                  // TOML; empty if there is none
  Context create_context() const;                                            // takes no memory for runs yet

  struct Impl;
  const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// Not for two threads at once: a second call while one runs (from its observer, too) throws InvalidArgument. Movable;
// what a moved-from one is asked throws InvalidArgument.
//
// prepare(), run(), enqueue() and output_capacity() throw
//   InvalidArgument  inputs or outputs of another number, type, shape or device, memory that the run would overwrite,
//                    sizes that the network cannot take, a stream of another device; with check_finite(), an input or a
//                    kernel that gave NaN or infinity
//   InvalidModel     with check_finite(), weights that hold NaN or infinity
//   Unsupported      a network or size that no kernel serves
//   System           out of memory
//   Internal         a bug of fovea
// and leave the context usable. An exception of the observer comes through as it is.
class FOVEA_API Context {
 public:
  Context(Context&&) noexcept;
  Context& operator=(Context&&) noexcept;
  ~Context();

  // Makes the specialisation for these input shapes (one an input, in the engine's order) and takes the memory of its
  // tensors. The first run still takes what only a run tells: scratch of kernels, outputs whose size has no bound.
  void prepare(const std::vector<std::vector<int64_t>>& input_shapes);

  // Runs and waits. Inputs in the engine's order, types and shapes as inputs() says; they are read in place. Inputs and
  // outputs of the caller may be in the memory of the host or of the engine's device.
  // Returns looks at this context's own memory (or at an input or constant that the network passes through, read-only),
  // valid until the next run, enqueue or prepare of this context, and not longer than the context and the inputs.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  // Outputs are copied to the caller's tensors, which need the outputs' types and room for what the run gives:
  // output_capacity() says the most that can be. Each tensor's shape becomes the true one. Where one is too small
  // nothing is written.
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs);
  // run() without waiting, on a stream of the engine's device: the event says when outputs are written and inputs read;
  // until then both must stay as they are, and so must the Tensor objects of outputs whose size depends on data: their
  // shape is known then. Inputs in pageable memory of the host are read before it returns, unless the network passes
  // them through. Outputs in pageable memory, and what depends on the size, are written by whoever finds the device
  // done: Event::wait(), an Event::done() that says so, Stream::synchronize(), this context's next call or its end, or
  // a run on the same stream that reads or writes there.
  // It waits itself for what steps of the CPU need, with an observer or check_finite(), and where an output has less
  // room than output_capacity() says. Complete on return on the CPU.
  Event enqueue(std::span<const Tensor> inputs, std::span<Tensor> outputs, const Stream& stream);

  // The shapes that outputs can have at most for these inputs, before anything runs. -1: no bound is known.
  std::vector<std::vector<int64_t>> output_capacity(const std::vector<std::vector<int64_t>>& input_shapes);

  void set_observer(std::function<void(const StepInfo&)> observer);  // costs a little in every step; empty: none
  // run() throws at the first input, weight or kernel that holds or gives NaN or infinity, naming its ONNX nodes.
  void check_finite(bool on);

 private:
  friend class Engine;
  Context();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea
