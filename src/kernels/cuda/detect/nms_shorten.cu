// Lists of which only the best candidates take part: those alone.
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

// Few long lists, by many blocks each.
bool narrow_args(const NmsArgs& a, NarrowArgs& n) {
  const int64_t lists = std::min(a.images, a.images_at_once) * a.lists_per_image();
  return narrow_args(lists, a.room, int64_t{a.boxes} * a.classes, looked_at(a), n);
}

// By a block each: most lists are short, and are only moved.
constexpr int kShortenThreads = 256, kShortenChunk = 1024;
constexpr int64_t kLeastLeft = 512;

__global__ void __launch_bounds__(kShortenThreads)
    shorten_list(CandidateLists lists, uint32_t want, uint32_t* left) {
  __shared__ Chunk<kShortenChunk> chunk;
  __shared__ uint32_t bins[kBins];
  const uint32_t list = blockIdx.x, count = lists.count(list);
  uint32_t done = 0;
  if (count <= lists.to_room) {
    for (uint32_t i = threadIdx.x; i < count; i += kShortenThreads) lists.put(list, i, lists.key(list, i, true));
    done = count;
  } else {
    const int64_t first = int64_t{list} * lists.room;
    const Candidates source{lists.high + first, lists.low + first, count};
    for (Key from = 0; done < want;) {
      const uint32_t size =
          min(next_chunk<kShortenThreads>(source, from, min(want - done, kShortenChunk), bins, chunk), want - done);
      if (size == 0) break;
      for (uint32_t i = threadIdx.x; i < size; i += kShortenThreads) lists.put(list, done + i, chunk.keys[i]);
      done += size;
      from = chunk.keys[size - 1] + 1;
      __syncthreads();
    }
  }
  if (threadIdx.x == 0) left[list] = done;
}

}  // namespace

uint32_t shortened_room(const NmsArgs& a) {
  const int64_t room = std::max(looked_at(a), kLeastLeft);
  return room <= a.room / 2 ? static_cast<uint32_t>(room) : 0;
}

uint32_t narrow_room(const NmsArgs& a) {
  NarrowArgs n;
  return narrow_args(a, n) ? n.room : 0;
}

int64_t narrow_bytes(const NmsArgs& a) {
  NarrowArgs n;
  return narrow_args(a, n) ? narrow_bytes(n) : 0;
}

cudaError_t shorten_lists(const NmsArgs& a, const NmsMemory& m, cudaStream_t stream) {
  const CandidateLists lists{m.high, m.low, m.counts, m.left_high, m.left_low, a.room, a.left};
  if (a.narrows) {
    NarrowArgs n;
    if (!narrow_args(a, n)) return cudaErrorInvalidValue;
    return narrow(lists, n, narrow_memory(n, m.narrowing, m.left_counts), stream);
  }
  shorten_list<<<static_cast<unsigned>(a.lists()), kShortenThreads, 0, stream>>>(
      lists, static_cast<uint32_t>(looked_at(a)), m.left_counts);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
