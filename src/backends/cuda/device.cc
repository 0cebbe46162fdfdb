#include <fmt/format.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>

#include "backends/cpu/target.h"
#include "backends/cuda/code.h"
#include "backends/cuda/code_check.h"
#include "backends/cuda/cublaslt.h"
#include "backends/cuda/cudnn.h"

namespace fovea::core::cuda {

namespace {

thread_local DeviceCounts made;

}  // namespace

Status check(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return {};
  const std::string text = fmt::format("{}: {} ({})", what, cudaGetErrorString(error), cudaGetErrorName(error));
  (void)cudaGetLastError();  // one that can be recovered from does not stay
  return system_error("{}", text);
}

// ---- events, graphs, streams

Event::~Event() { (void)cudaEventDestroy(event_); }

Result<bool> Event::done() {
  const cudaError_t e = cudaEventQuery(event_);
  if (e == cudaErrorNotReady) return false;
  FOVEA_TRY(check(e, "cudaEventQuery"));
  return true;
}

Status Event::wait() { return check(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

Result<double> Event::ms_since(const DeviceEvent& earlier) const {
  float ms = 0;
  FOVEA_CUDA(cudaEventElapsedTime(&ms, static_cast<const Event&>(earlier).event_, event_));
  return static_cast<double>(ms);
}

CapturedGraph::~CapturedGraph() { (void)cudaGraphExecDestroy(graph_); }

Stream::~Stream() {
  // Nothing may still be at work on what its owner frees next.
  (void)device_.make_current();
  (void)cudaStreamSynchronize(stream_);
  if (cudnn_) destroy_cudnn(cudnn_);
  (void)cudaStreamDestroy(stream_);
}

Status Stream::copy(void* to, const void* from, int64_t bytes) {
  if (bytes <= 0) return {};
  FOVEA_TRY(device_.make_current());
  return check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream_), "cudaMemcpyAsync");
}

Status Stream::zero(void* to, int64_t bytes) {
  if (bytes <= 0) return {};
  FOVEA_TRY(device_.make_current());
  return check(cudaMemsetAsync(to, 0, static_cast<size_t>(bytes), stream_), "cudaMemsetAsync");
}

Status Stream::record(DeviceEvent& event) {
  return check(cudaEventRecord(static_cast<Event&>(event).handle(), stream_), "cudaEventRecord");
}

Status Stream::wait_for(const DeviceEvent& event) {
  return check(cudaStreamWaitEvent(stream_, static_cast<const Event&>(event).handle(), 0), "cudaStreamWaitEvent");
}

Status Stream::synchronize() {
  FOVEA_TRY(device_.make_current());
  return check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

Status Stream::begin_capture() {
  FOVEA_TRY(device_.make_current());
  return check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}

Result<std::unique_ptr<DeviceGraph>> Stream::end_capture() {
  cudaGraph_t graph = nullptr;
  FOVEA_CUDA(cudaStreamEndCapture(stream_, &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t e = cudaGraphInstantiate(&executable, graph, 0);
  (void)cudaGraphDestroy(graph);
  FOVEA_TRY(check(e, "cudaGraphInstantiate"));
  ++made.graphs;
  return std::unique_ptr<DeviceGraph>(std::make_unique<CapturedGraph>(executable));
}

Status Stream::launch(DeviceGraph& graph) {
  FOVEA_TRY(device_.make_current());
  return check(cudaGraphLaunch(static_cast<CapturedGraph&>(graph).handle(), stream_), "cudaGraphLaunch");
}

void Stream::begin_range(const char* name) { nvtxRangePushA(name); }
void Stream::end_range() { nvtxRangePop(); }

Result<cudnnContext*> Stream::cudnn() {
  if (!cudnn_) {
    FOVEA_TRY(device_.make_current());
    FOVEA_TRY_SET(cudnn_, create_cudnn(stream_));
  }
  return cudnn_;
}

// ---- the device

namespace {

// Fused multiply-adds a multiprocessor and clock: float32 by the arithmetic units, TF32 and float16 by the matrix
// units, dense, sums in float32. Sources: CUDA C++ Programming Guide, table "Throughput of Native Arithmetic
// Instructions" (float32); NVIDIA's white papers of Turing, A100, GA102, Ada and H100 (matrix units: T4 65 TFLOP/s = 40
// x 1.59 GHz x 512 x 2, A100 312 = 108 x 1.41 x 1024 x 2, A40 150 = 84 x 1.74 x 512 x 2, L40S 362 = 142 x 2.52 x 512 x
// 2, H100 SXM 989 = 132 x 1.83 x 2048 x 2). GeForce cards of GA102 and Ada do half of it with sums in float32.
struct Units {
  int capability, fp32, tf32, fp16;
};
constexpr Units kUnits[] = {{75, 64, 64, 512},  // no TF32: float32 it stays
                            {80, 64, 512, 1024},
                            {86, 128, 256, 512},
                            {89, 128, 256, 512},
                            {90, 128, 1024, 2048}};

// What cannot be read, or is not known of an architecture, stays 0.
Limits limits_of(int index, int capability, int multiprocessors) {
  auto attribute = [&](cudaDeviceAttr a) {
    int value = 0;
    if (cudaDeviceGetAttribute(&value, a, index) == cudaSuccess) return static_cast<double>(value);
    (void)cudaGetLastError();
    return 0.0;
  };
  Limits limits;
  // kHz and bits; memory transfers twice a clock.
  limits.bytes_per_second =
      2 * attribute(cudaDevAttrMemoryClockRate) * 1e3 * attribute(cudaDevAttrGlobalMemoryBusWidth) / 8;
  const double clocks = attribute(cudaDevAttrClockRate) * 1e3 * multiprocessors;
  for (const Units& u : kUnits)
    if (u.capability == capability)
      limits.flops_fp32 = 2 * clocks * u.fp32, limits.flops_tf32 = 2 * clocks * u.tf32,
      limits.flops_fp16 = 2 * clocks * u.fp16;
  return limits;
}

}  // namespace

Result<std::shared_ptr<Device>> CudaDevice::open(int index) {
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorInsufficientDriver)
    return unsupported("cuda:{}: the NVIDIA driver is missing or older than CUDA {}.{} needs", index,
                       CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && count == 0))
    return unsupported("cuda:{}: this machine has no NVIDIA GPU", index);
  FOVEA_TRY(check(counted, "cudaGetDeviceCount"));
  if (index >= count)
    return invalid_argument("cuda:{}: expected a GPU from cuda:0 to cuda:{}, the last of this machine", index,
                            count - 1);
  std::shared_ptr<CudaDevice> d(new CudaDevice);
  cudaDeviceProp p{};
  FOVEA_CUDA(cudaGetDeviceProperties(&p, index));
  d->properties_ = {index,
                    p.major,
                    p.minor,
                    p.multiProcessorCount,
                    static_cast<int64_t>(p.totalGlobalMem),
                    p.l2CacheSize,
                    static_cast<int>(p.sharedMemPerBlockOptin)};
#ifdef FOVEA_SM90A
  d->properties_.sm90a = p.major == 9 && p.minor == 0;
#endif
  if (p.major * 10 + p.minor < 75)
    return unsupported("cuda:{}: expected compute capability 7.5 or newer, {} has {}.{}", index, p.name, p.major,
                       p.minor);
  FOVEA_TRY(d->make_current());
  // The first use of the device, so that a fault of the driver is told here.
  FOVEA_CUDA(cudaFree(nullptr));
  FOVEA_TRY(check_code(find_code(), fmt::format("cuda:{}", index), p.major, p.minor));
  int driver = 0;
  FOVEA_CUDA(cudaDriverGetVersion(&driver));
  FOVEA_TRY_SET(const int cudnn, cudnn_version());
  const auto cublaslt = cublaslt_version();  // some kernels do without
  d->name_ = fmt::format("cuda:{}", index);
  d->target_ = {cpu_target().build,
                fmt::format("CUDA {}.{}, driver {}for CUDA {}.{}, cuDNN {}, {}", CUDART_VERSION / 1000,
                            CUDART_VERSION % 1000 / 10, driver_version().empty() ? "" : driver_version() + " ",
                            driver / 1000, driver % 1000 / 10, version_text(cudnn),
                            cublaslt.ok() ? "cuBLASLt " + version_text(*cublaslt) : "no cuBLASLt"),
                p.name,
                fmt::format("sm_{}{}{},{} multiprocessors", p.major, p.minor, d->properties_.sm90a ? "a" : "",
                            p.multiProcessorCount)};
  d->limits_ = limits_of(index, p.major * 10 + p.minor, p.multiProcessorCount);
  return std::shared_ptr<Device>(std::move(d));
}

Result<DeviceMemory> CudaDevice::allocate(int64_t bytes, DeviceMemory::Kind kind) {
  FOVEA_TRY(make_current());
  void* data = nullptr;
  const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  const bool pinned = kind == DeviceMemory::Kind::kPinned;
  const cudaError_t e = pinned ? cudaMallocHost(&data, size) : cudaMalloc(&data, size);
  if (e == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return system_error("out of memory: {} bytes {} {}, {} bytes of its own memory are free", bytes,
                        pinned ? "of pinned memory for" : "on", name_, free_bytes());
  }
  FOVEA_TRY(check(e, pinned ? "cudaMallocHost" : "cudaMalloc"));
  ++made.allocations;
  auto free_device = [](void* p, void*) { (void)cudaFree(p); };
  auto free_pinned = [](void* p, void*) { (void)cudaFreeHost(p); };
  return DeviceMemory(data, bytes, pinned ? +free_pinned : +free_device, this);
}

Result<std::unique_ptr<DeviceStream>> CudaDevice::create_stream() {
  FOVEA_TRY(make_current());
  cudaStream_t stream = nullptr;
  FOVEA_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  ++made.streams;
  return std::unique_ptr<DeviceStream>(std::make_unique<Stream>(*this, stream));
}

Result<std::unique_ptr<DeviceEvent>> CudaDevice::create_event(bool lets_sleep) {
  FOVEA_TRY(make_current());
  cudaEvent_t event = nullptr;
  FOVEA_CUDA(cudaEventCreateWithFlags(&event, lets_sleep ? cudaEventBlockingSync : cudaEventDefault));
  ++made.events;
  return std::unique_ptr<DeviceEvent>(std::make_unique<Event>(event));
}

Result<std::shared_ptr<const CublasLt>> CudaDevice::cublaslt() {
  std::lock_guard lock(cublaslt_mutex_);
  if (!cublaslt_) {
    FOVEA_TRY(make_current());
    FOVEA_TRY_SET(cublaslt_, open_cublaslt());
  }
  return cublaslt_;
}

Result<CudaDevice::Workbench> CudaDevice::workbench() {
  std::unique_lock lock(bench_mutex_);
  FOVEA_TRY(make_current());
  if (!bench_) {
    FOVEA_TRY_SET(auto made, create_stream());
    bench_ = static_cast<Stream*>(made.release());
  }
  return Workbench{std::move(lock), *bench_};
}

void CudaDevice::GiveBack::operator()(Stream* stream) const {
  std::lock_guard lock(device->idle_mutex_);
  device->idle_.push_back(stream);
}

Result<CudaDevice::BorrowedStream> CudaDevice::borrow_stream() {
  FOVEA_TRY(make_current());
  {
    std::lock_guard lock(idle_mutex_);
    if (!idle_.empty()) {
      Stream* const stream = idle_.back();
      idle_.pop_back();
      return BorrowedStream(stream, {this});
    }
  }
  FOVEA_TRY_SET(auto made, create_stream());
  return BorrowedStream(static_cast<Stream*>(made.release()), {this});
}

DeviceCounts CudaDevice::counts() const { return made; }

bool CudaDevice::owns(const void* data) const {
  cudaPointerAttributes a{};
  if (cudaPointerGetAttributes(&a, data) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  return a.type == cudaMemoryTypeDevice && a.device == properties_.index;
}

bool CudaDevice::pinned(const void* data) const {
  cudaPointerAttributes a{};
  if (cudaPointerGetAttributes(&a, data) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  return a.type == cudaMemoryTypeHost;
}

int64_t CudaDevice::free_bytes() const {
  size_t free = 0, total = 0;
  if (!make_current().ok() || cudaMemGetInfo(&free, &total) != cudaSuccess) return -1;
  return static_cast<int64_t>(free);
}

}  // namespace fovea::core::cuda

namespace fovea::core {
namespace {

Result<std::shared_ptr<Device>> open_cuda(int index) { return cuda::CudaDevice::open(index); }

}  // namespace

extern "C" __attribute__((visibility("default"))) const BackendEntry* fovea_backend_entry() {
  static const std::string build = cpu_target().build;
  static const BackendEntry entry = {build.c_str(), open_cuda};
  return &entry;
}

}  // namespace fovea::core
