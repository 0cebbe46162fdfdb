// CUDA behind the seam of backends/device.h. Only src/backends/cuda and src/kernels/cuda include this.
#pragma once

#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "backends/device.h"

struct cudnnContext;

namespace fovea::core::cuda {

struct CublasLt;  // cublaslt.h

// What went wrong in a call; memory that cannot be had says so.
Status check(cudaError_t error, std::string_view what);
#define FOVEA_CUDA(call) FOVEA_TRY(::fovea::core::cuda::check((call), #call))

struct Properties {
  int index = 0;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t memory_bytes = 0, l2_bytes = 0;
  int shared_bytes_per_block = 0;  // the most a block may ask for
  bool sm90a = false;              // does this build have code for it that uses all that Hopper has?
};

class Event final : public DeviceEvent {
 public:
  explicit Event(cudaEvent_t event) : event_(event) {}
  ~Event() override;
  Result<bool> done() override;
  Status wait() override;
  Result<double> ms_since(const DeviceEvent& earlier) const override;
  cudaEvent_t handle() const { return event_; }

 private:
  cudaEvent_t event_;
};

class CapturedGraph final : public DeviceGraph {
 public:
  explicit CapturedGraph(cudaGraphExec_t graph) : graph_(graph) {}
  ~CapturedGraph() override;
  cudaGraphExec_t handle() const { return graph_; }

 private:
  cudaGraphExec_t graph_;
};

class CudaDevice;

class Stream final : public DeviceStream {
 public:
  Stream(CudaDevice& device, cudaStream_t stream) : device_(device), stream_(stream) {}
  ~Stream() override;
  Status copy(void* to, const void* from, int64_t bytes) override;
  Status zero(void* to, int64_t bytes) override;
  Status record(DeviceEvent& event) override;
  Status wait_for(const DeviceEvent& event) override;
  Status synchronize() override;
  Status begin_capture() override;
  Result<std::unique_ptr<DeviceGraph>> end_capture() override;
  Status launch(DeviceGraph& graph) override;
  void begin_range(const char* name) override;
  void end_range() override;

  cudaStream_t handle() const { return stream_; }
  CudaDevice& device() const { return device_; }
  // cuDNN's handle that works on this stream, made on first use.
  Result<cudnnContext*> cudnn();

 private:
  CudaDevice& device_;
  cudaStream_t stream_;
  cudnnContext* cudnn_ = nullptr;
};

class CudaDevice final : public Device {
 public:
  static Result<std::shared_ptr<Device>> open(int index);

  const std::string& name() const override { return name_; }
  const Target& target() const override { return target_; }
  const Limits& limits() const override { return limits_; }
  std::span<const KernelRow* const> kernels() const override;  // these two in kernels/cuda/table.cc
  Status reformat(DeviceStream& stream, const TensorRef& from, const Format& from_format, const TensorRef& to,
                  const Format& to_format) override;
  Result<DeviceMemory> allocate(int64_t bytes, DeviceMemory::Kind kind) override;
  Result<std::unique_ptr<DeviceStream>> create_stream() override;
  Result<std::unique_ptr<DeviceEvent>> create_event(bool lets_sleep = false) override;
  bool owns(const void* data) const override;
  bool pinned(const void* data) const override;
  int64_t free_bytes() const override;
  Telemetry telemetry() const override;
  DeviceCounts counts() const override;

  const Properties& properties() const { return properties_; }
  // This thread's calls go to this device from now on.
  Status make_current() const { return check(cudaSetDevice(properties_.index), "cudaSetDevice"); }
  // Opened on first use; kUnsupported with one sentence where the library is missing.
  Result<std::shared_ptr<const CublasLt>> cublaslt();
  // A stream with its library handles, made once, to prepare and time kernels on. Whoever has it has it alone.
  struct Workbench {
    std::unique_lock<std::mutex> lock;
    Stream& stream;
  };
  Result<Workbench> workbench();
  // Another such stream, one of several, for what is only built with its handles.
  struct GiveBack {
    CudaDevice* device;
    void operator()(Stream* stream) const;
  };
  using BorrowedStream = std::unique_ptr<Stream, GiveBack>;
  Result<BorrowedStream> borrow_stream();
  // Of kernels/cuda/conv/cudnn_plans.cc.
  struct BuiltPlans;
  BuiltPlans* built_plans = nullptr;  // stays, as bench_ does

 private:
  CudaDevice() = default;
  std::mutex cublaslt_mutex_;
  std::shared_ptr<const CublasLt> cublaslt_;
  std::mutex bench_mutex_;
  std::mutex idle_mutex_;
  std::vector<Stream*> idle_;  // of those that are borrowed; they stay, too
  Stream* bench_ = nullptr;    // stays until the process ends, for at its exit the libraries are gone before the device
  std::string name_;
  Target target_;
  Limits limits_;
  Properties properties_;
};

// ---- libraries that are opened when they are needed

// Opens a library by its name ("libcudnn.so.9"): in the folders of FOVEA_CUDA_LIBRARIES (separated by colons; NVIDIA's
// Python packages: the folder 'nvidia' in site-packages) and those below them, then where the system's loader looks. A
// failure names what to install.
Result<void*> open_library(const std::string& name);

// The driver's own version, "570.86.15"; empty where NVML cannot tell.
std::string driver_version();

// cuDNN's version as it reports it, 91900 for 9.19.0; kUnsupported with one sentence where it is missing or too old.
Result<int> cudnn_version();
// The same of cuBLASLt: 130100 for 13.1.0.
Result<int> cublaslt_version();
std::string version_text(int version);  // of both: "9.19.0"

// ---- code compiled at run time

// CUDA source to a loaded kernel, by NVRTC; compiled code is kept in the user's cache (folder XDG_CACHE_HOME/fovea or
// ~/.cache/fovea), never in an engine. The same source is compiled and loaded once for a device.
// `source` defines extern "C" __global__ `kernel`.
Result<cudaKernel_t> compile_kernel(const CudaDevice& device, const std::string& source, const std::string& kernel);

// The first half of it, for which no GPU need be there: CUDA source to a cubin for "sm_90".
Result<std::string> compile_source(const std::string& source, const std::string& architecture);

// The user's cache: a file's bytes by key, or nothing. Files are written whole or not at all; failures to write are no
// errors.
std::optional<std::string> cache_read(const std::string& kind, const std::string& key);
void cache_write(const std::string& kind, const std::string& key, const std::string& bytes);

}  // namespace fovea::core::cuda
