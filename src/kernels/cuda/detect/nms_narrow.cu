// Long lists of which only the best candidates take part: those alone.
#include "kernels/cuda/device/narrow.cuh"
#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

struct CandidateLists {
  const uint32_t *high, *low, *counts;
  uint32_t *to_high, *to_low;
  uint32_t room, to_room;

  __device__ uint32_t count(uint32_t list) const { return __ldg(counts + list); }
  __device__ Key key(uint32_t list, uint32_t i, bool whole) const {
    const int64_t at = int64_t{list} * room + i;
    return Key(__ldg(high + at)) << 32 | (whole ? __ldg(low + at) : 0);
  }
  __device__ void put(uint32_t list, uint32_t i, Key key) const {
    const int64_t at = int64_t{list} * to_room + i;
    to_high[at] = static_cast<uint32_t>(key >> 32), to_low[at] = static_cast<uint32_t>(key);
  }
};

// How many of a list suppression looks at, at most. What it keeps is no bound: any number may be suppressed before
// that.
int64_t looked_at(const NmsArgs& a) {
  if (a.most_of_group != kNoLimit) return kNoLimit;
  const bool takes_all = !a.soft && !a.suppresses && !(a.compares_groups() && a.per_group != kNoLimit);
  return takes_all ? std::min(a.most, a.keep) : a.most;
}

bool narrows(const NmsArgs& a, NarrowArgs& n) {
  return narrow_args(a.lists(), a.room, int64_t{a.boxes} * a.classes, looked_at(a), n);
}

}  // namespace

uint32_t narrow_room(const NmsArgs& a) {
  NarrowArgs n;
  return narrows(a, n) ? n.room : 0;
}

int64_t narrow_bytes(const NmsArgs& a) {
  NarrowArgs n;
  return narrows(a, n) ? narrow_bytes(n) : 0;
}

cudaError_t narrow_lists(const NmsArgs& a, const NmsMemory& m, cudaStream_t stream) {
  NarrowArgs n;
  if (!narrows(a, n)) return cudaErrorInvalidValue;
  return narrow(CandidateLists{m.high, m.low, m.counts, m.narrow_high, m.narrow_low, a.room, n.room}, n,
                narrow_memory(n, m.narrowing, m.narrow_counts), stream);
}

}  // namespace fovea::core::cuda
