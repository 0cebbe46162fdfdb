// What the rows on oneDNN share: one engine, memory descriptors of our layouts, packed weights, and a prepared kernel
// that runs one primitive on the caller's memory.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <array>
#include <new>

#include "kernels/kernel.h"

namespace fovea::core::onednn {

// Why no row on oneDNN may be used in this build, or empty.
std::string_view unavailable();

const dnnl::engine& engine();

// oneDNN's own fallbacks, slower than our reference kernels deserve to be replaced by.
bool is_fallback(std::string_view implementation);

// Runs f, which may throw what oneDNN's C++ API throws, and gives its result or what went wrong.
Status status_of(const dnnl::error& e);
template <typename F>
auto guarded(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const dnnl::error& e) {
    return status_of(e);
  } catch (const std::bad_alloc&) {
    return system_error("out of memory while oneDNN prepared a kernel");
  }
}

dnnl::memory::dims dims_of(std::span<const int64_t> shape);
// float32 in one of our layouts (blocked ones: rank 4).
dnnl::memory::desc desc_of(std::span<const int64_t> shape, Layout layout);
inline dnnl::memory::desc desc_of(const TensorDesc& t) { return desc_of(t.shape, t.layout); }
dnnl::memory::desc any_desc(std::span<const int64_t> shape);

// A constant as a primitive wants it: `plain` describes its elements, `wanted` the packed form. Shared through
// `weights`; the constant itself where nothing has to be moved.
using Packed = std::shared_ptr<const dnnl::memory>;
Result<Packed> pack(PackedWeights& weights, const TensorPtr& constant, const dnnl::memory::desc& plain,
                    const dnnl::memory::desc& wanted);

// Scratchpad from the caller: a primitive would otherwise allocate in every run.
dnnl::primitive_attr attributes();

struct Argument {
  int index = 0;                // DNNL_ARG_...
  int input = -1, output = -1;  // of the group; neither for a constant
  dnnl::memory::desc desc = {};
  Packed constant = nullptr;
  int64_t step = 0;  // bytes from one chunk to the next
};

// One primitive, run once for each chunk of the batch.
class PrimitiveKernel final : public PreparedKernel {
 public:
  struct Parts {
    dnnl::primitive primitive;
    std::vector<Argument> arguments;
    dnnl::memory::desc scratchpad;
    int threads = 1;
    int64_t chunks = 1;
    int residual = -1;  // input that is added to what is computed; copied to the output unless it lies there already
    int64_t residual_bytes = 0;
    std::string detail;
  };
  explicit PrimitiveKernel(Parts parts) : parts_(std::move(parts)) {}
  Status run(KernelContext& context) const override;
  int64_t workspace_bytes() const override { return static_cast<int64_t>(parts_.scratchpad.get_size()); }
  std::string detail() const override { return parts_.detail; }

 private:
  Parts parts_;
};

// Asks the implementations of `pd` in order for the first whose name contains `wanted` (empty: any) and is no fallback.
template <typename PrimitiveDesc>
Status select_implementation(PrimitiveDesc& pd, std::string_view wanted) {
  const std::string first = pd.impl_info_str();
  for (int i = 0; i < 16; ++i) {  // an entry may repeat: the library's cache of primitives counts differently
    const std::string name = pd.impl_info_str();
    if (is_fallback(name)) break;
    if (name.find(wanted) != std::string::npos) return {};
    if (!pd.next_impl()) break;
  }
  if (is_fallback(first)) return unsupported("oneDNN has only its fallback '{}' here", first);
  return unsupported("oneDNN offers '{}' here, not '{}'", first, wanted);
}

}  // namespace fovea::core::onednn
