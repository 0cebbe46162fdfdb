// Clocks, power and temperature by NVML, which comes with the driver. Its header does not come with CUDA's compiler
// everywhere: the six functions are declared here, as NVML's API reference has them.
#include <dlfcn.h>

#include "backends/cuda/cuda.h"

namespace fovea::core::cuda {
namespace {

using NvmlDevice = struct nvmlDevice_st*;
constexpr int kNvmlSuccess = 0, kSmClock = 1, kMemoryClock = 2, kGpuTemperature = 0;

struct Nvml {
  int (*init)() = nullptr;
  int (*by_bus)(const char*, NvmlDevice*) = nullptr;
  int (*clock)(NvmlDevice, int, unsigned*) = nullptr;
  int (*power)(NvmlDevice, unsigned*) = nullptr;  // milliwatts
  int (*temperature)(NvmlDevice, int, unsigned*) = nullptr;
  int (*driver)(char*, unsigned) = nullptr;
};

// Opened once; null where the driver has none.
const Nvml* open_nvml() {
  static const Nvml nvml = [] {
    Nvml n;
    void* library = ::dlopen("libnvidia-ml.so.1", RTLD_NOW);
    if (!library) return n;
    auto get = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(::dlsym(library, name));
    };
    get(n.init, "nvmlInit_v2"), get(n.by_bus, "nvmlDeviceGetHandleByPciBusId_v2");
    get(n.clock, "nvmlDeviceGetClockInfo"), get(n.power, "nvmlDeviceGetPowerUsage");
    get(n.temperature, "nvmlDeviceGetTemperature"), get(n.driver, "nvmlSystemGetDriverVersion");
    if (!n.by_bus || !n.init || n.init() != kNvmlSuccess) return Nvml();
    return n;
  }();
  return nvml.init ? &nvml : nullptr;
}

}  // namespace

std::string driver_version() {
  const Nvml* nvml = open_nvml();
  char text[80] = {};  // NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE
  return nvml && nvml->driver && nvml->driver(text, sizeof text) == kNvmlSuccess ? text : "";
}

Telemetry CudaDevice::telemetry() const {
  Telemetry t;
  const Nvml* nvml = open_nvml();
  char bus[32] = {};
  NvmlDevice device = nullptr;
  if (!nvml || cudaDeviceGetPCIBusId(bus, sizeof bus, properties_.index) != cudaSuccess ||
      nvml->by_bus(bus, &device) != kNvmlSuccess)
    return t;
  unsigned value = 0;
  if (nvml->clock && nvml->clock(device, kSmClock, &value) == kNvmlSuccess) t.clock_mhz = value;
  if (nvml->clock && nvml->clock(device, kMemoryClock, &value) == kNvmlSuccess) t.memory_clock_mhz = value;
  if (nvml->power && nvml->power(device, &value) == kNvmlSuccess) t.power_watts = value / 1000.0;
  if (nvml->temperature && nvml->temperature(device, kGpuTemperature, &value) == kNvmlSuccess)
    t.temperature_celsius = value;
  return t;
}

}  // namespace fovea::core::cuda
