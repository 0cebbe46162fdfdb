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
  Device device;
  int threads = 0;               // of a run on the CPU; 0: all cores that the process may use
  std::string timing_cache;      // measured times, used if the engine has to be planned anew for this machine
  int max_specialisations = 32;  // shapes kept ready at once
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

class FOVEA_API Engine {
 public:
  // Opens a .fov file. Throws InvalidModel for a damaged one. An engine made on another machine is planned anew: see
  // replanned().
  static Engine open(const std::string& path, const EngineOptions& options = {});

  std::vector<TensorInfo> inputs() const;
  std::vector<TensorInfo> outputs() const;
  int threads() const;
  std::string replanned() const;  // why the recipe in the file was not used; empty if it was
  std::string fovea_version() const, git_hash() const, source_name() const;  // of the file
  bool has_card() const;                                                     // can it take pictures (Detector)?
  std::string card() const;                                                  // TOML; empty if there is none
  Context create_context() const;

  struct Impl;
  const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// Not for two threads at once: a second call while one runs throws InvalidArgument. Movable.
class FOVEA_API Context {
 public:
  Context(Context&&) noexcept;
  Context& operator=(Context&&) noexcept;
  ~Context();

  // Makes everything ready for these input shapes (one an input, in the engine's order): the first run pays nothing.
  void prepare(const std::vector<std::vector<int64_t>>& input_shapes);

  // Runs and waits. Inputs in the engine's order, types and shapes as inputs() says; they are read in place.
  // Returns looks at this context's own memory, valid until its next run.
  std::vector<Tensor> run(std::span<const Tensor> inputs);
  // Outputs go to the caller's tensors, which need the outputs' types and at least as much room as output_capacity()
  // says; each tensor's shape becomes the true one.
  void run(std::span<const Tensor> inputs, std::span<Tensor> outputs);
  // run() without waiting; on the CPU the event is complete on return.
  Event enqueue(std::span<const Tensor> inputs, std::span<Tensor> outputs, const Stream& stream);

  // The shapes that outputs can have at most for these inputs, before anything runs. -1: no bound is known.
  std::vector<std::vector<int64_t>> output_capacity(const std::vector<std::vector<int64_t>>& input_shapes);

  void set_observer(std::function<void(const StepInfo&)> observer);  // costs a little in every step; empty: none
  void check_finite(bool on);  // run() throws at the first kernel that gives NaN or infinity, naming its ONNX nodes

 private:
  friend class Engine;
  Context();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fovea
