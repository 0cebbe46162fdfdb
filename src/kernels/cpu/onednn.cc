#include "kernels/cpu/onednn.h"

#include <cstring>

namespace fovea::core::onednn {
namespace {

using dnnl::memory;

memory::format_tag plain_tag(size_t rank) {
  using tag = memory::format_tag;
  constexpr std::array<tag, 6> kTags = {tag::a, tag::ab, tag::abc, tag::abcd, tag::abcde, tag::abcdef};
  return rank >= 1 && rank <= kTags.size() ? kTags[rank - 1] : tag::undef;
}

// Streams hold no state between runs on a CPU; one a thread, because making one in each run would allocate.
const dnnl::stream& stream() {
  thread_local const dnnl::stream stream(engine());
  return stream;
}

// Packed memory, and the constant it was made of, so that no other constant can come to its address while this lives.
struct PackedConstant {
  TensorPtr constant;
  memory packed;
};

// The arguments of one execution, without a container that would allocate.
class Arguments {
 public:
  Arguments() = default;
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  ~Arguments() {
    for (size_t i = 0; i < owned_; ++i) dnnl_memory_destroy(memories_[i]);
  }
  bool add(int index, const memory::desc& desc, void* data) {
    if (count_ == kMost || dnnl_memory_create(&memories_[owned_], &desc.data, engine().get(), data) != dnnl_success)
      return false;
    arguments_[count_++] = {index, memories_[owned_++]};
    return true;
  }
  bool add(int index, const memory& shared) {
    if (count_ == kMost) return false;
    arguments_[count_++] = {index, shared.get()};
    return true;
  }
  dnnl_status_t execute(const dnnl::primitive& primitive) const {
    return dnnl_primitive_execute(primitive.get(), stream().get(), static_cast<int>(count_), arguments_.data());
  }

 private:
  static constexpr size_t kMost = 8;
  std::array<dnnl_memory_t, kMost> memories_{};
  std::array<dnnl_exec_arg_t, kMost> arguments_{};
  size_t owned_ = 0, count_ = 0;
};

void copy_parallel(void* to, const void* from, int64_t bytes, int threads) {
  parallel_for(threads, bytes, 1 << 16, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                static_cast<size_t>(end - begin));
  });
}

}  // namespace

std::string_view unavailable() {
#ifdef FOVEA_NO_OPENMP
  return "oneDNN's team of threads is invisible to the thread sanitizer";
#else
  return "";
#endif
}

const dnnl::engine& engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

bool is_fallback(std::string_view implementation) {
  return implementation.starts_with("ref") || implementation.find(":ref") != std::string_view::npos ||
         implementation.find("+ref") != std::string_view::npos ||
         implementation.find("simple") != std::string_view::npos;
}

Status status_of(const dnnl::error& e) {
  if (e.status == dnnl_unimplemented || e.status == dnnl_invalid_arguments) return unsupported("oneDNN: {}", e.what());
  if (e.status == dnnl_out_of_memory) return system_error("oneDNN: {}", e.what());
  return internal_error("oneDNN: {} (status {})", e.what(), static_cast<int>(e.status));
}

memory::dims dims_of(std::span<const int64_t> shape) { return {shape.begin(), shape.end()}; }

memory::desc desc_of(std::span<const int64_t> shape, Layout layout) {
  using tag = memory::format_tag;
  const tag t = layout == Layout::kNhwc  ? tag::nhwc
                : layout == Layout::kC8  ? tag::nChw8c
                : layout == Layout::kC16 ? tag::nChw16c
                                         : plain_tag(shape.size());
  return memory::desc(dims_of(shape), memory::data_type::f32, t);
}

memory::desc any_desc(std::span<const int64_t> shape) {
  return memory::desc(dims_of(shape), memory::data_type::f32, memory::format_tag::any);
}

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr a;
  a.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return a;
}

Result<Packed> pack(PackedWeights& weights, const TensorPtr& constant, const memory::desc& plain,
                    const memory::desc& wanted) {
  auto* data = const_cast<std::byte*>(constant->bytes().data());
  if (constant->bytes().size() < plain.get_size())
    return internal_error("a constant of {} bytes where {} are described", constant->bytes().size(), plain.get_size());
  std::string key = fmt::format("onednn {} ", fmt::ptr(data));
  key.append(reinterpret_cast<const char*>(&plain.data), sizeof plain.data);
  key.append(reinterpret_cast<const char*>(&wanted.data), sizeof wanted.data);
  auto packed = std::static_pointer_cast<PackedConstant>(weights.find(key));
  if (!packed) {
    packed = std::make_shared<PackedConstant>();
    packed->constant = constant;
    memory source(plain, engine(), data);
    int64_t bytes = 0;
    if (plain == wanted) {
      packed->packed = source;
    } else {
      packed->packed = memory(wanted, engine());
      dnnl::reorder(source, packed->packed).execute(stream(), source, packed->packed);
      bytes = static_cast<int64_t>(wanted.get_size());
    }
    packed = std::static_pointer_cast<PackedConstant>(weights.put(key, packed, bytes));
  }
  return Packed(packed, &packed->packed);
}

Status PrimitiveKernel::run(KernelContext& c) const {
  const Parts& p = parts_;
  if (p.residual >= 0) {
    const void* residual = c.in(static_cast<size_t>(p.residual)).data;
    if (residual != c.out().data) copy_parallel(c.out().data, residual, p.residual_bytes, p.threads);
  }
  ThreadCountScope threads(p.threads);
  for (int64_t chunk = 0; chunk < p.chunks; ++chunk) {
    Arguments arguments;
    bool ok = true;
    for (const Argument& a : p.arguments) {
      if (a.constant) {
        ok &= arguments.add(a.index, *a.constant);
        continue;
      }
      const TensorRef& t = a.input >= 0 ? c.in(static_cast<size_t>(a.input)) : c.out(static_cast<size_t>(a.output));
      ok &= arguments.add(a.index, a.desc, static_cast<std::byte*>(t.data) + chunk * a.step);
    }
    if (p.scratchpad.get_size() > 0) ok &= arguments.add(DNNL_ARG_SCRATCHPAD, p.scratchpad, c.workspace);
    if (!ok) return system_error("oneDNN could not describe a kernel's memory");
    if (dnnl_status_t s = arguments.execute(p.primitive); s != dnnl_success)
      return s == dnnl_out_of_memory ? system_error("oneDNN: out of memory while running")
                                     : internal_error("oneDNN: execution failed with status {}", static_cast<int>(s));
  }
  return {};
}

}  // namespace fovea::core::onednn
