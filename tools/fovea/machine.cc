#include "machine.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/parallel.h"
#include "ir/parse.h"
#include "ops/op.h"
#include "verbs.h"

namespace fovea::core::tool {
namespace {

constexpr int kTries = 15;  // the best counts: others may use the machine, too

// Bytes a second, read and written bytes both counted, of copying what no cache holds.
double host_bandwidth(int threads) {
  constexpr int64_t kBytes = int64_t{128} << 20;
  std::vector<std::byte> from(kBytes, std::byte{1}), to(kBytes);
  double best = HUGE_VAL;
  for (int i = 0; i < kTries; ++i) {
    const double begin = now_ms();
    parallel_for(threads, kBytes, 1 << 20, [&](int64_t first, int64_t last) {
      std::memcpy(to.data() + first, from.data() + first, static_cast<size_t>(last - first));
    });
    best = std::min(best, now_ms() - begin);
  }
  return 2.0 * kBytes / best * 1e3;
}

Result<double> device_bandwidth(Device& device) {
  const int64_t bytes = std::min(int64_t{256} << 20, device.free_bytes() / 4);
  FOVEA_TRY_SET(const DeviceMemory from, device.allocate(bytes, DeviceMemory::Kind::kDevice));
  FOVEA_TRY_SET(const DeviceMemory to, device.allocate(bytes, DeviceMemory::Kind::kDevice));
  FOVEA_TRY_SET(auto stream, device.create_stream());
  FOVEA_TRY_SET(auto begin, device.create_event());
  FOVEA_TRY_SET(auto end, device.create_event());
  double best = HUGE_VAL;
  for (int i = 0; i < kTries; ++i) {
    FOVEA_TRY(stream->record(*begin));
    FOVEA_TRY(stream->copy(to.data(), from.data(), bytes));
    FOVEA_TRY(stream->record(*end));
    FOVEA_TRY(stream->synchronize());
    FOVEA_TRY_SET(const double ms, end->ms_since(*begin));
    best = std::min(best, ms);
  }
  return 2.0 * static_cast<double>(bytes) / best * 1e3;
}

// Operations a second of a matrix product, by the kernel that an engine would run it with.
Result<double> host_peak(int threads) {
  constexpr int64_t kSide = 1024;
  FOVEA_TRY_SET(auto graph, parse(fmt::format("graph @main(%x: float32[{0},{0}]) -> (y = %y) {{\n"
                                              "  %w = constant float32[{0},{0}] random(1)\n  %y = MatMul(%x, %w)\n}}",
                                              kSide),
                                  find_op));
  PlannedGraph planned(*graph, {}, {}, {}, nullptr);
  FOVEA_TRY_SET(auto spec, planned.specialise(SymbolValues(), threads));
  Executor executor;
  FOVEA_TRY(executor.bind(std::move(spec)));
  FOVEA_TRY_SET(auto x, Tensor::allocate(DType::kFloat32, {kSide, kSide}));
  const TensorRef in = TensorRef::of(*x);
  TensorRef out;
  double best = HUGE_VAL;
  for (int i = 0; i < kTries; ++i) {
    const double begin = now_ms();
    FOVEA_TRY(executor.run(std::span(&in, 1), std::span(&out, 1)));
    best = std::min(best, now_ms() - begin);
  }
  return 2.0 * kSide * kSide * kSide / best * 1e3;
}

}  // namespace

Result<Machine> find_machine(LoadedEngine& engine, double bandwidth, double peak) {
  Machine m;
  Device* const device = engine.device();
  if (device) m.place = Place::kDevice, m.limits = device->limits();
  double& bytes = m.limits.bytes_per_second;
  if (bandwidth > 0) bytes = bandwidth * 1e9;
  if (bytes <= 0 && device) {
    FOVEA_TRY_SET(bytes, device_bandwidth(*device));
  } else if (bytes <= 0) {
    bytes = host_bandwidth(engine.threads());
  }
  double flops = peak * 1e9;
  if (flops <= 0 && !device) {
    FOVEA_TRY_SET(flops, host_peak(engine.threads()));
  }
  if (flops > 0) m.limits.flops_fp32 = m.limits.flops_tf32 = m.limits.flops_fp16 = flops;
  return m;
}

std::string Machine::describe() const {
  std::string text = fmt::format("bytes / {:.1f} GB/s", limits.bytes_per_second / 1e9);
  if (limits.flops_fp32 <= 0) return text + "; of convolutions and matrix products only with --peak";
  if (limits.flops_fp32 == limits.flops_fp16)
    return text + fmt::format(" or operations / {:.1f} GFLOP/s, the larger", limits.flops_fp32 / 1e9);
  return text + fmt::format(" or operations / {:.1f} (fp32), {:.1f} (tf32) or {:.1f} (fp16) TFLOP/s, the larger",
                            limits.flops_fp32 / 1e12, limits.flops_tf32 / 1e12, limits.flops_fp16 / 1e12);
}

}  // namespace fovea::core::tool
