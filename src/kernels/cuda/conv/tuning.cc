#include "kernels/cuda/conv/tuning.h"

#include <algorithm>

namespace fovea::core::cuda {
namespace {

// Multiplicative congruential, the same numbers every time.
std::vector<std::byte> random_bytes(DType type, int64_t elements) {
  const bool is_half = type == DType::kFloat16;
  std::vector<std::byte> bytes(static_cast<size_t>(elements * (is_half ? 2 : 4)));
  uint32_t state = 12345;
  for (int64_t i = 0; i < elements; ++i) {
    state = state * 1664525u + 1013904223u;
    const float v = static_cast<float>(static_cast<int32_t>(state >> 8) - (1 << 23)) * (1.0f / (1 << 23));
    if (is_half) reinterpret_cast<Half*>(bytes.data())[i] = Half(v);
    else reinterpret_cast<float*>(bytes.data())[i] = v;
  }
  return bytes;
}

Result<double> time_once(Stream& stream, DeviceEvent& begin, DeviceEvent& end, const std::function<Status()>& run) {
  FOVEA_TRY(stream.record(begin));
  FOVEA_TRY(run());
  FOVEA_TRY(stream.record(end));
  FOVEA_TRY(stream.synchronize());
  return end.ms_since(begin);
}

Result<std::unique_ptr<DeviceGraph>> capture(Stream& stream, int runs, const std::function<Status()>& run) {
  FOVEA_TRY(stream.begin_capture());
  for (int i = 0; i < runs; ++i)
    if (Status s = run(); !s.ok()) {
      (void)stream.end_capture();
      return s;
    }
  return stream.end_capture();
}

}  // namespace

// A piece from the host; the rest are copies of what is there, twice as much each time.
Status fill_random(Stream& stream, DType type, const DeviceMemory& memory) {
  constexpr int64_t kPiece = 1 << 20;
  const std::vector<std::byte> piece = random_bytes(type, std::min(kPiece, memory.bytes() * 8 / dtype_bits(type)));
  int64_t done = static_cast<int64_t>(piece.size());
  FOVEA_TRY(stream.copy(memory.data(), piece.data(), done));
  for (; done < memory.bytes(); done *= 2)
    FOVEA_TRY(stream.copy(memory.data() + done, memory.data(), std::min(done, memory.bytes() - done)));
  return {};
}

Result<DeviceMemory> random_memory(Stream& stream, DType type, int64_t elements) {
  FOVEA_TRY_SET(DeviceMemory memory,
                stream.device().allocate(elements * dtype_bits(type) / 8, DeviceMemory::Kind::kDevice));
  FOVEA_TRY(fill_random(stream, type, memory));
  return memory;
}

Result<double> time_runs(Stream& stream, double best, const std::function<Status()>& run) {
  constexpr double kHopeless = 1.5, kHostStart = 0.2;  // what the host needs to start it is in the first look
  constexpr int kRepeats = 5;
  FOVEA_TRY_SET(auto begin, stream.device().create_event());
  FOVEA_TRY_SET(auto end, stream.device().create_event());
  FOVEA_TRY(run());  // loads its code
  FOVEA_TRY_SET(const double look, time_once(stream, *begin, *end, run));
  if (look > kHopeless * best + kHostStart) return look;
  const int runs = look > 1 ? 2 : 8;
  FOVEA_TRY_SET(auto graph, capture(stream, runs, run));
  FOVEA_TRY(stream.launch(*graph));
  std::vector<double> times;
  for (int i = 0; i < kRepeats; ++i) {
    FOVEA_TRY_SET(const double ms, time_once(stream, *begin, *end, [&] { return stream.launch(*graph); }));
    times.push_back(ms / runs);
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

}  // namespace fovea::core::cuda
