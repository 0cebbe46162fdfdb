#include "kernels/cuda/layout/copy.h"

#include <algorithm>

#include "kernels/cuda/device/divide.cuh"

namespace fovea::core::cuda {
namespace {

constexpr int kThreads = 256, kMostRank = 8;
constexpr int64_t kMostIndices = int64_t{1} << 31;

template <typename F>
cudaError_t with_unit(int64_t bytes, F f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    case 8: return f(uint64_t{});
    case 16: return f(uint4{});
    default: return cudaErrorNotSupported;
  }
}

// A dimension of a copy; strides in elements.
struct Loop {
  int64_t count, from, to;
  int64_t inside, before;  // Pad
  bool indexed;            // Gather

  bool whole() const { return !indexed && before == 0 && inside == count; }
};

// Outermost first; inner loops that are copied whole are one with the loop around them where both sides have no gap.
struct Loops {
  Loop loop[kMostRank];
  int count = 0;

  void add(const Loop& l) {
    if (l.count == 1 && l.whole()) return;
    if (count > 0 && l.whole()) {
      Loop& outer = loop[count - 1];
      if (!outer.indexed && outer.from == l.from * l.count && outer.to == l.to * l.count) {
        outer.count *= l.count, outer.inside *= l.count, outer.before *= l.count;
        outer.from = l.from, outer.to = l.to;
        return;
      }
    }
    loop[count++] = l;
  }
};

// As wide units as runs, borders, strides and addresses are multiples of: gives their bytes, and changes the loops.
int64_t widen(Loops& loops, const void* from, const void* to, int64_t bytes) {
  if (loops.count == 0) return bytes;
  Loop& last = loops.loop[loops.count - 1];
  if (last.from != 1 || last.to != 1 || last.indexed) return bytes;
  uint64_t all = reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to) | 16;
  for (int64_t n : {last.count, last.inside, last.before}) all |= static_cast<uint64_t>(n * bytes);
  for (int i = 0; i + 1 < loops.count; ++i)
    all |= static_cast<uint64_t>(loops.loop[i].from * bytes) | static_cast<uint64_t>(loops.loop[i].to * bytes);
  const auto unit = static_cast<int64_t>(all & (~all + 1));  // the lowest bit
  if (unit <= bytes) return bytes;
  const int64_t factor = unit / bytes;
  for (int i = 0; i + 1 < loops.count; ++i) loops.loop[i].from /= factor, loops.loop[i].to /= factor;
  last.count /= factor, last.inside /= factor, last.before /= factor;
  return unit;
}

struct Walk {
  int rank = 0;
  Divisor size[kMostRank];
  int64_t from[kMostRank], to[kMostRank];
  int64_t inside[kMostRank], before[kMostRank];
  bool indexed[kMostRank];
};

cudaError_t walk_of(const Loops& loops, Walk& walk, uint32_t& count) {
  int64_t n = 1;
  for (int i = 0; i < loops.count; ++i) {
    const Loop& l = loops.loop[i];
    n *= l.count;
    if (n >= kMostIndices) return cudaErrorNotSupported;
    walk.size[i] = Divisor(l.count);
    walk.from[i] = l.from, walk.to[i] = l.to, walk.inside[i] = l.inside, walk.before[i] = l.before;
    walk.indexed[i] = l.indexed;
  }
  walk.rank = loops.count;
  count = static_cast<uint32_t>(n);
  return cudaSuccess;
}

template <typename U>
__global__ void __launch_bounds__(kThreads)
    pad_units(const U* from, U* to, const __grid_constant__ Walk walk, U value, uint32_t count) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= count) return;
  uint32_t rest = i;
  int64_t f = 0, t = 0;
  bool inside = true;
  for (int d = walk.rank - 1; d >= 0; --d) {
    const auto at = static_cast<int64_t>(walk.size[d].split(rest)), x = at - walk.before[d];
    inside &= x >= 0 && x < walk.inside[d];
    f += x * walk.from[d], t += at * walk.to[d];
  }
  to[t] = inside ? from[f] : value;
}

template <typename U>
__global__ void __launch_bounds__(kThreads)
    gather_units(const U* from, U* to, const int32_t* index, const __grid_constant__ Walk walk, uint32_t count) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= count) return;
  uint32_t rest = i;
  int64_t f = 0, t = 0;
  for (int d = walk.rank - 1; d >= 0; --d) {
    const auto at = static_cast<int64_t>(walk.size[d].split(rest));
    f += (walk.indexed[d] ? static_cast<int64_t>(index[at]) : at) * walk.from[d], t += at * walk.to[d];
  }
  to[t] = from[f];
}

// The element's bits as often as they fit into a unit.
template <typename U>
U repeated(uint64_t value, int element_bytes) {
  for (int bytes = element_bytes; bytes < 8; bytes *= 2) {
    value &= (uint64_t{1} << (8 * bytes)) - 1;
    value |= value << (8 * bytes);
  }
  if constexpr (sizeof(U) == 16) {
    const auto low = static_cast<unsigned>(value), high = static_cast<unsigned>(value >> 32);
    return {low, high, low, high};
  } else {
    return static_cast<U>(value);
  }
}

unsigned blocks_for(uint32_t count) { return (count + kThreads - 1) / kThreads; }

}  // namespace

cudaError_t pad_tensor(const PadArguments& args, cudaStream_t stream) {
  if (args.rank < 0 || args.rank > kMostRank) return cudaErrorInvalidValue;
  Loops loops;
  for (int i = 0; i < args.rank; ++i) {
    if (args.shape[i] == 0) return cudaSuccess;
    loops.add({args.shape[i], args.from_strides[i], args.to_strides[i], args.inside[i], args.before[i], false});
  }
  const int64_t unit = widen(loops, args.from, args.to, args.element_bytes);
  Walk walk{};
  uint32_t count = 0;
  if (const cudaError_t error = walk_of(loops, walk, count); error != cudaSuccess) return error;
  return with_unit(unit, [&](auto element) {
    using U = decltype(element);
    pad_units<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<const U*>(args.from), static_cast<U*>(args.to),
                                                          walk, repeated<U>(args.value, args.element_bytes), count);
    return cudaGetLastError();
  });
}

cudaError_t gather_tensor(const GatherArguments& args, cudaStream_t stream) {
  if (args.rank < 1 || args.rank > kMostRank) return cudaErrorInvalidValue;
  Loops loops;
  for (int i = 0; i < args.rank; ++i) {
    if (args.shape[i] == 0) return cudaSuccess;
    loops.add({args.shape[i], args.from_strides[i], args.to_strides[i], args.shape[i], 0, i == args.axis});
  }
  const int64_t unit = widen(loops, args.from, args.to, args.element_bytes);
  Walk walk{};
  uint32_t count = 0;
  if (const cudaError_t error = walk_of(loops, walk, count); error != cudaSuccess) return error;
  return with_unit(unit, [&](auto element) {
    using U = decltype(element);
    gather_units<<<blocks_for(count), kThreads, 0, stream>>>(static_cast<const U*>(args.from), static_cast<U*>(args.to),
                                                             args.index, walk, count);
    return cudaGetLastError();
  });
}

}  // namespace fovea::core::cuda
