// A device that every machine has: --device fake:0. It shows what a GPU would: its memory cannot be read by the host
// (an access ends the program), and what a stream is asked for is done no sooner than somebody waits for it. Kernels
// are the reference kernels of a few operators. With FOVEA_FAKE_EARLY a stream that waits for another does what it is
// asked for at once from then on, and the other no more than that needs: of two that run side by side one is as early
// as it can be, without it as late. FOVEA_FAKE_TRACE names a file that is told, a line each, of ranges
// ("begin NAME", "end") and of copies that have pageable memory on one side ("pageable").
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "backends/cpu/target.h"
#include "backends/device.h"
#include "kernels/kernel.h"
#include "kernels/reference/reference.h"

namespace fovea::core {
namespace {

class FakeStream;

std::recursive_mutex mutex;  // of everything here

struct Allocation {
  int64_t bytes = 0;
  std::byte* real = nullptr;  // where the elements are; null: pinned memory, which is what it seems
};
std::map<std::byte*, Allocation> allocations;
std::set<FakeStream*> streams;
thread_local DeviceCounts made;

std::pair<std::byte* const, Allocation>* find(const void* data) {
  auto it = allocations.upper_bound(static_cast<std::byte*>(const_cast<void*>(data)));
  if (it == allocations.begin()) return nullptr;
  --it;
  return static_cast<const std::byte*>(data) < it->first + it->second.bytes ? &*it : nullptr;
}

bool on_device(const void* data) {
  auto* a = find(data);
  return a && a->second.real;
}

template <typename T>
T* real(T* data) {
  auto* a = find(data);
  if (!a || !a->second.real) return data;
  return reinterpret_cast<T*>(a->second.real + (reinterpret_cast<const std::byte*>(data) - a->first));
}
void* real(void* data) { return real(static_cast<std::byte*>(data)); }

void trace(std::string_view line) {
  if (const char* file = std::getenv("FOVEA_FAKE_TRACE")) std::ofstream(file, std::ios::app) << line << "\n";
}

using Work = std::function<Status()>;

class FakeEvent final : public DeviceEvent {
 public:
  Result<bool> done() override;
  Status wait() override;
  Result<double> ms_since(const DeviceEvent& earlier) const override {
    return *when_ - *static_cast<const FakeEvent&>(earlier).when_;
  }

 private:
  friend class FakeStream;
  FakeStream* stream_ = nullptr;
  FakeStream* recorder_ = nullptr;  // the stream whose capture it is of
  int64_t position_ = 0;
  std::shared_ptr<double> when_ = std::make_shared<double>(0);
};

class FakeGraph final : public DeviceGraph {
 public:
  std::vector<Work> work;
};

class FakeStream final : public DeviceStream {
 public:
  FakeStream() {
    std::lock_guard lock(mutex);
    streams.insert(this);
  }
  ~FakeStream() override {
    std::lock_guard lock(mutex);
    (void)synchronize();
    streams.erase(this);
  }
  void push(Work work) {
    std::lock_guard lock(mutex);
    if (recorder_) recorder_->captured_.push_back(std::move(work)), lent_ += recorder_ != this;
    else queue_.push_back(std::move(work)), ++pushed_;
    if (early_ && !recorder_ && failed_.ok()) failed_ = run_until(pushed_);
  }
  Status run_until(int64_t position) {
    std::lock_guard lock(mutex);
    while (done_ < position) {
      const Work work = std::move(queue_.front());
      queue_.pop_front(), ++done_;
      if (Status s = work(); !s.ok()) return s;
    }
    return {};
  }
  bool is_done(int64_t position) const { return done_ >= position; }

  Status copy(void* to, const void* from, int64_t bytes) override {
    std::lock_guard lock(mutex);
    const auto size = static_cast<size_t>(bytes);
    if (!find(from) || !find(to)) trace("pageable");
    if (find(from)) {
      push([=] { return std::memcpy(real(to), real(static_cast<const std::byte*>(from)), size), Status(); });
    } else {
      auto* bytes_of = static_cast<const std::byte*>(from);
      push([=, data = std::vector<std::byte>(bytes_of, bytes_of + size)] {
        return std::memcpy(real(to), data.data(), size), Status();
      });
    }
    return find(to) || recorder_ ? Status() : synchronize();
  }
  Status zero(void* to, int64_t bytes) override {
    push([=] { return std::memset(real(to), 0, static_cast<size_t>(bytes)), Status(); });
    return {};
  }
  Status record(DeviceEvent& event) override {
    auto& e = static_cast<FakeEvent&>(event);
    e.when_ = std::make_shared<double>(0);
    push([when = e.when_] { return *when = ++clock_, Status(); });
    e.stream_ = this, e.recorder_ = recorder_, e.position_ = recorder_ ? lent_ : pushed_;
    return {};
  }
  Status wait_for(const DeviceEvent& event) override {
    std::lock_guard lock(mutex);
    const auto& e = static_cast<const FakeEvent&>(event);
    if (e.recorder_) {  // what is captured is done in the order in which it was asked for
      if (!recorder_) recorder_ = e.recorder_, recorder_->others_.push_back(this);
      e.stream_->joined_ = std::max(e.stream_->joined_, e.position_);
      return {};
    }
    early_ |= std::getenv("FOVEA_FAKE_EARLY") != nullptr && e.stream_ != this;
    // A copy: recorded again it is another point.
    push([then = FakeEvent(static_cast<const FakeEvent&>(event))]() mutable { return then.wait(); });
    return {};
  }
  Status synchronize() override {
    if (!failed_.ok()) return failed_;
    return run_until(pushed_);
  }
  Status begin_capture() override {
    recorder_ = this;
    return {};
  }
  Result<std::unique_ptr<DeviceGraph>> end_capture() override {
    auto graph = std::make_unique<FakeGraph>();
    graph->work.swap(captured_);
    ++made.graphs;
    Status status;
    for (FakeStream* s : others_) {
      if (s->joined_ < s->lent_) status = internal_error("a capture ends that does not wait for another stream's work");
      s->recorder_ = nullptr;
    }
    others_.clear();
    recorder_ = nullptr;
    if (!status.ok()) return status;
    return std::unique_ptr<DeviceGraph>(std::move(graph));
  }
  Status launch(DeviceGraph& graph) override {
    for (const Work& work : static_cast<FakeGraph&>(graph).work) push(work);
    return {};
  }
  void begin_range(const char* name) override { trace("begin " + std::string(name)); }
  void end_range() override { trace("end"); }

 private:
  std::deque<Work> queue_;
  std::vector<Work> captured_;
  int64_t pushed_ = 0, done_ = 0;
  FakeStream* recorder_ = nullptr;   // the stream whose capture this one's work goes to
  std::vector<FakeStream*> others_;  // that take part in this one's capture
  int64_t lent_ = 0, joined_ = 0;    // work for others' captures, and how much of it somebody there has waited for
  bool early_ = false;
  Status failed_;
  static inline double clock_ = 0;
};

Result<bool> FakeEvent::done() {
  std::lock_guard lock(mutex);
  return !streams.contains(stream_) || stream_->is_done(position_);
}
Status FakeEvent::wait() {
  std::lock_guard lock(mutex);
  return streams.contains(stream_) ? stream_->run_until(position_) : Status();
}

// A size that the kernel decides: a dimension of an output.
struct Decided {
  size_t output, dim;
};

class FakeKernel final : public PreparedKernel {
 public:
  explicit FakeKernel(const Node& node) : op_(node.op->name) {
    for (const SizeDefinition& d : node.sizes)
      decided_.push_back({static_cast<size_t>(d.output), static_cast<size_t>(d.dim)});
  }
  Status run(KernelContext& c) const override {
    auto* stream = static_cast<FakeStream*>(c.stream);
    stream->push([op = op_, in = std::vector(c.inputs.begin(), c.inputs.end()), decided = decided_, sizes = c.sizes,
                  out = std::vector(c.outputs.begin(), c.outputs.end()), attributes = c.attributes]() mutable {
      std::vector<TensorRef> from = in, to = out;
      for (TensorRef& r : from) r.data = real(r.data);
      for (TensorRef& r : to) r.data = real(r.data);
      Scratch scratch;
      KernelContext k;
      k.inputs = from, k.outputs = to, k.attributes = attributes, k.scratch = &scratch;
      Status s = find_reference(op)(k);
      auto* words = static_cast<int64_t*>(real(static_cast<void*>(sizes)));
      for (const Decided& d : decided) *words++ = to[d.output].dims[d.dim];
      return s;
    });
    return {};
  }

 private:
  std::string_view op_;
  std::vector<Decided> decided_;
};

// A library that can do with or without a workspace; the first way is the better one. It goes image by image, so that
// the next one's result may lie where the last one was.
class FakeConv final : public PreparedKernel {
 public:
  explicit FakeConv(const PrepareContext& c) : kernel_(*c.group.nodes[0]) {
    const KernelVariant roomy{"roomy", 4 * element_count(c.outputs[0].shape).value_or(0)};
    name_ = c.variant.empty() && roomy.workspace_bytes > c.workspace_limit ? "tight" : c.variant;
    if (name_ == "tight") over_limit_ = {roomy};
    else name_ = roomy.name, workspace_ = roomy.workspace_bytes;
    const auto bytes_of_image = [](const TensorDesc& d) {
      return d.shape[0] ? 4 * element_count(d.shape).value_or(0) / d.shape[0] : 0;
    };
    const int64_t in = bytes_of_image(c.inputs[0]), out = bytes_of_image(c.outputs[0]);
    lead_ = std::max(out, c.outputs[0].shape[0] * out - (c.outputs[0].shape[0] - 1) * in);
  }
  Status run(KernelContext& c) const override {
    static_cast<FakeStream*>(c.stream)->push([to = c.workspace, size = static_cast<size_t>(workspace_)] {
      return std::memset(real(to), 0xFF, size), Status();
    });
    std::vector<TensorRef> in(c.inputs.begin(), c.inputs.end()), out(c.outputs.begin(), c.outputs.end());
    KernelContext one = c;
    one.inputs = in, one.outputs = out;
    for (int64_t i = 0; i < c.out().dims[0]; ++i) {
      for (auto* r : {&in[0], &out[0]}) r->dims[0] = 1;
      in[0].data = static_cast<std::byte*>(c.in(0).data) + 4 * i * c.in(0).strides[0];
      out[0].data = static_cast<std::byte*>(c.out().data) + 4 * i * c.out().strides[0];
      FOVEA_TRY(kernel_.run(one));
    }
    return {};
  }
  int64_t overlap_lead() const override { return lead_; }
  int64_t workspace_bytes() const override { return workspace_; }
  std::string detail() const override { return name_; }
  std::vector<KernelVariant> over_limit() const override { return over_limit_; }

 private:
  FakeKernel kernel_;
  std::string name_;
  int64_t workspace_ = 0, lead_ = 0;
  std::vector<KernelVariant> over_limit_;
};

Result<std::unique_ptr<PreparedKernel>> prepare_conv(const PrepareContext& c) {
  return std::unique_ptr<PreparedKernel>(std::make_unique<FakeConv>(c));
}

Result<std::unique_ptr<PreparedKernel>> prepare(const PrepareContext& c) {
  return std::unique_ptr<PreparedKernel>(std::make_unique<FakeKernel>(*c.group.nodes[0]));
}

// What reads sizes that data decides would have to wait for them.
std::string refuse(const Group& group) {
  for (const Value* v : group.inputs)
    if (v && v->producer && !v->producer->sizes.empty()) return "the size of its input depends on data";
  return "";
}

constexpr KernelRow row(std::string_view name, std::string_view op) {
  return {.name = name,
          .op = op,
          .dynamic_shapes = true,
          .place = Place::kDevice,
          .match = match_node,
          .refuse = refuse,
          .prepare = prepare};
}
constexpr KernelRow conv_row() {
  KernelRow r = row("fake_conv", "Conv");
  r.dynamic_shapes = false, r.limits_workspace = true, r.prepare = prepare_conv;
  return r;
}
const KernelRow rows[] = {row("fake_add", "Add"), conv_row(), row("fake_relu", "Relu"),
                          row("fake_preprocess", "Preprocess"), row("fake_nms", "Nms")};

void release(void* data, void*) {
  std::lock_guard lock(mutex);
  for (FakeStream* s : streams) (void)s->synchronize();
  auto it = allocations.find(static_cast<std::byte*>(data));
  const auto bytes = static_cast<size_t>(it->second.bytes);
  if (it->second.real) ::munmap(it->second.real, bytes);
  ::munmap(it->first, bytes);
  allocations.erase(it);
}

class FakeDevice final : public Device {
 public:
  FakeDevice() {
    target_ = cpu_target();
    target_.device = "a device made of host memory", target_.features = "none";
    for (const KernelRow& r : rows) rows_.push_back(&r);
  }
  const std::string& name() const override { return name_; }
  // What it says of its libraries a test may change while the program runs, as an update of the driver would.
  const Target& target() const override {
    const char* libraries = std::getenv("FOVEA_FAKE_LIBRARIES");
    std::lock_guard lock(mutex);
    Target& t = targets_[libraries ? libraries : ""];
    t = target_;
    if (libraries) t.libraries = libraries;
    return t;
  }
  const Limits& limits() const override { return limits_; }
  std::span<const KernelRow* const> kernels() const override { return rows_; }
  Result<DeviceMemory> allocate(int64_t bytes, DeviceMemory::Kind kind) override {
    if (bytes == 0) return DeviceMemory();
    auto map = [&](int access) {
      void* p = ::mmap(nullptr, static_cast<size_t>(bytes), access, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
    };
    const bool device = kind == DeviceMemory::Kind::kDevice;
    std::byte* data = map(device ? PROT_NONE : PROT_READ | PROT_WRITE);
    std::byte* elements = device ? map(PROT_READ | PROT_WRITE) : nullptr;
    if (!data || (device && !elements)) return system_error("out of memory: {} bytes", bytes);
    std::lock_guard lock(mutex);
    allocations[data] = {bytes, elements};
    ++made.allocations;
    return DeviceMemory(data, bytes, release, nullptr);
  }
  Result<std::unique_ptr<DeviceStream>> create_stream() override {
    ++made.streams;
    return std::unique_ptr<DeviceStream>(std::make_unique<FakeStream>());
  }
  Result<std::unique_ptr<DeviceEvent>> create_event(bool = false) override {
    ++made.events;
    return std::unique_ptr<DeviceEvent>(std::make_unique<FakeEvent>());
  }
  bool owns(const void* data) const override {
    std::lock_guard lock(mutex);
    return on_device(data);
  }
  bool pinned(const void* data) const override {
    std::lock_guard lock(mutex);
    return find(data) && !on_device(data);
  }
  int64_t free_bytes() const override { return int64_t{64} << 20; }
  Telemetry telemetry() const override { return {}; }
  DeviceCounts counts() const override { return made; }
  Status reformat(DeviceStream& stream, const TensorRef& from, const Format& from_format, const TensorRef& to,
                  const Format& to_format) override {
    static_cast<FakeStream&>(stream).push([=]() mutable {
      TensorRef f = from, t = to;
      f.data = real(f.data), t.data = real(t.data);
      return core::reformat(f, from_format.layout, t, to_format.layout, 1);
    });
    return {};
  }

 private:
  std::string name_ = "fake:0";
  Target target_;
  mutable std::map<std::string, Target> targets_;
  Limits limits_{100e9, 1e12, 2e12, 4e12};
  std::vector<const KernelRow*> rows_;
};

Result<std::shared_ptr<Device>> open(int index) {
  if (index != 0) return unsupported("there is no fake device but fake:0");
  static const auto device = std::make_shared<FakeDevice>();
  return std::shared_ptr<Device>(device);
}

}  // namespace
}  // namespace fovea::core

extern "C" __attribute__((visibility("default"))) const fovea::core::BackendEntry* fovea_backend_entry() {
  static const std::string build = fovea::core::cpu_target().build;
  static const fovea::core::BackendEntry entry{build.c_str(), fovea::core::open};
  return &entry;
}
