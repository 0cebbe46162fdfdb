// What a kernel is given when it runs.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "base/parallel.h"
#include "ir/attrs.h"
#include "ir/tensor.h"

namespace fovea::core {

class DeviceStream;

// Memory for the time of one kernel. It grows when a run needs more than any before; in the steady state nothing is
// allocated.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // 64-byte aligned; contents undefined. Throws std::bad_alloc, which the caller of the kernel turns into a Status.
  void* bytes(int64_t size);
  template <typename T>
  T* array(int64_t count) {
    return static_cast<T*>(bytes(count * static_cast<int64_t>(sizeof(T))));
  }
  void reset();  // everything handed out becomes free; chunks are merged into one
  int64_t capacity() const;

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t(64)); }
  };
  struct Chunk {
    std::unique_ptr<std::byte[], Free> memory;
    int64_t size = 0;
  };
  std::vector<Chunk> chunks_;
  int64_t used_ = 0;  // of the last chunk
};

class KernelContext {
 public:
  // Gives output `index` room for `shape` and returns its memory; called for sizes that only the run tells.
  using Resize = Status (*)(void* owner, size_t index, TensorRef& output, std::span<const int64_t> shape);

  std::span<const TensorRef> inputs;  // absent optional inputs have dtype kUndefined
  std::span<TensorRef> outputs;       // shape set, memory ready; data-dependent sizes hold their upper bound
  const AttrsBase* attributes = nullptr;
  int threads = 1;
  Scratch* scratch = nullptr;
  std::byte* workspace = nullptr;  // PreparedKernel::workspace_bytes() of it, 64-byte aligned
  // On a device (all pointers are its own, and the run is over when the stream's work is): where the sizes that the
  // group's nodes define go, in their order; outputs with such sizes have room for the most.
  DeviceStream* stream = nullptr;
  int64_t* sizes = nullptr;
  Resize resize = nullptr;         // null: outputs have room for the shape already in them, and may only shrink
  void* resize_owner = nullptr;

  template <typename T>
  const T& attrs() const {
    return *static_cast<const T*>(attributes->get(typeid(T)));
  }
  bool has(size_t i) const { return i < inputs.size() && inputs[i].present(); }
  const TensorRef& in(size_t i) const { return inputs[i]; }
  TensorRef& out(size_t i = 0) const { return outputs[i]; }
  bool wants(size_t i) const { return i < outputs.size() && outputs[i].present(); }

  // For outputs with data-dependent sizes: call once, before writing. The output is dense in this shape afterwards.
  Status set_output_shape(size_t i, std::span<const int64_t> shape) const;
  Status set_output_shape(size_t i, std::initializer_list<int64_t> shape) const {
    return set_output_shape(i, std::span<const int64_t>(shape.begin(), shape.size()));
  }
};

}  // namespace fovea::core
