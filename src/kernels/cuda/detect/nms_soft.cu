// Soft suppression: the best of a list is kept and lowers the scores of all that compete with it, again and again.
#include "kernels/cuda/device/iou.cuh"
#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

constexpr int kChunk = 1024;

// A list's candidates. They are changed while they are read, so not by __ldg.
struct Scored {
  static constexpr Key kLast = kLastCandidate;
  const uint32_t *high, *low;
  uint32_t count;

  template <int kThreads, typename F>
  __device__ void each(Key first, Key last, bool, const F& f) const {
    for (uint64_t i = threadIdx.x; i < count; i += kThreads) {
      const Key key = Key(high[i]) << 32 | low[i];
      if (key >= first && key <= last) f(key);
    }
  }
};

// The last of the best a.most candidates.
template <int kThreads>
__device__ Key last_of_best(const NmsArgs& a, const Scored& source, uint32_t* bins, Chunk<kChunk>& chunk) {
  if (source.count <= a.most) return kLastCandidate;
  Key from = 0, last = 0;
  for (uint32_t seen = 0; seen < a.most;) {
    const uint32_t found = next_chunk<kThreads>(source, from, min(a.most - seen, kChunk), bins, chunk);
    const uint32_t size = min(found, a.most - seen);
    if (size == 0) return kLastCandidate;  // the rest was dropped
    seen += size;
    last = chunk.keys[size - 1];
    from = last + 1;
    __syncthreads();
  }
  return last;
}

// The exponential is float64's, rounded, as the reference's is: the same number, but for one in a hundred million.
__device__ __forceinline__ float weight_of(float overlap, float scale) {
  return static_cast<float>(exp(static_cast<double>(__fmul_rn(__fmul_rn(scale, overlap), overlap))));
}

// The least key of the block. `room` is 32 keys that the call before did not use: one barrier is enough then.
template <int kThreads>
__device__ __forceinline__ Key least_of_block(Key key, Key* room) {
  const uint32_t lane = threadIdx.x % 32;
  for (int d = 16; d > 0; d >>= 1) {
    const Key other = __shfl_xor_sync(0xffffffffu, key, d);
    key = other < key ? other : key;
  }
  if (lane == 0) room[threadIdx.x / 32] = key;
  __syncthreads();
  key = lane < kThreads / 32 ? room[lane] : ~Key(0);
  for (int d = 16; d > 0; d >>= 1) {
    const Key other = __shfl_xor_sync(0xffffffffu, key, d);
    key = other < key ? other : key;
  }
  return key;
}

// Kept negative scores have risen: puts all in the order of scores again. `high` and `low` have room for `count`.
template <int kThreads>
__device__ void sort_kept(Key* keys, uint32_t count, uint32_t* high, uint32_t* low) {
  bool wrong = false;
  for (uint32_t i = threadIdx.x; i + 1 < count; i += kThreads) wrong |= keys[i] > keys[i + 1];
  if (!__syncthreads_or(wrong)) return;
  for (uint32_t i = threadIdx.x; i < count; i += kThreads) {
    const Key own = keys[i];
    uint32_t at = 0;
    for (uint32_t j = 0; j < count; ++j) at += keys[j] < own;
    high[at] = static_cast<uint32_t>(own >> 32), low[at] = static_cast<uint32_t>(own);
  }
  __syncthreads();
  for (uint32_t i = threadIdx.x; i < count; i += kThreads) keys[i] = Key(high[i]) << 32 | low[i];
}

// One block goes over one list; a candidate is always looked at by the same thread. kGroups: only candidates of one
// group compete. A negative score rises, but its candidate waits where it was, as the reference's does: `high` keeps
// the order, `lowered` the score.
template <int kThreads, bool kGroups>
__global__ void __launch_bounds__(kThreads, 1)
    suppress_list_softly(NmsArgs a, const float* boxes, const void* group, NmsMemory m) {
  __shared__ Chunk<kChunk> chunk;
  __shared__ uint32_t bins[kBins];
  __shared__ Key room[2][32];
  const uint32_t tid = threadIdx.x;
  const int64_t list = blockIdx.x, image = a.list_per_class ? list / a.classes : list;
  uint32_t *const high = m.thinned + list * a.room, *const low = m.low + list * a.room;
  float* const lowered = m.lowered + list * a.room;
  Key* const kept_keys = m.kept + list * a.keep;
  const bool limited = kGroups && a.per_group != kNoLimit;
  const uint32_t keep = limited && a.per_group == 0 ? 0 : a.keep, count = keep > 0 ? m.counts[list] : 0;

  const Key last = last_of_best<kThreads>(a, Scored{high, low, count}, bins, chunk);
  Key best = ~Key(0);  // of this thread's candidates
  uint32_t best_at = 0;
  for (uint32_t i = tid; i < count; i += kThreads) {
    const uint32_t order = high[i];
    const Key key = Key(order) << 32 | low[i];
    if (key > last) high[i] = kDropped;
    if (key > last) continue;
    lowered[i] = from_ordered(~order);
    if (key < best) best = key, best_at = i;
  }

  uint32_t kept = 0;
  while (kept < keep) {
    const Key next = least_of_block<kThreads>(best, room[kept % 2]);
    if (next == ~Key(0)) break;
    const auto number = static_cast<uint32_t>(next);
    if (best == next) {
      kept_keys[kept] = Key(~ordered(lowered[best_at])) << 32 | number;
      high[best_at] = kDropped;
    }
    const Corners box = corners(a, box_of(a, boxes, image, number));
    long long kept_group = 0;
    bool full = false;  // its group
    if constexpr (kGroups) {
      kept_group = group_of(a, group, image, number);
      uint32_t same = 1;
      for (uint32_t j = 0; limited && j < kept; j += kThreads)
        same += __syncthreads_count(j + tid < kept &&
                                    group_of(a, group, image, static_cast<uint32_t>(kept_keys[j + tid])) == kept_group);
      full = limited && same >= a.per_group;
    }
    ++kept;
    best = ~Key(0);
    for (uint32_t i = tid; i < count; i += kThreads) {
      uint32_t order = high[i];
      if (order == kDropped) continue;
      const uint32_t candidate = low[i];
      bool rival = true;
      if constexpr (kGroups) rival = group_of(a, group, image, candidate) == kept_group;
      const float overlap = rival ? iou(corners(a, box_of(a, boxes, image, candidate)), box, a.iou_offset) : 0;
      if (overlap > 0) {
        const float score = __fmul_rn(lowered[i], weight_of(overlap, a.soft_scale));
        lowered[i] = score;
        if (!passes(a.score_or_equal, score, a.score_threshold)) order = kDropped;
        else if (!(order & 0x80000000u)) order = ~ordered(score);  // not below 0
      }
      if (rival && full) order = kDropped;
      high[i] = order;
      const Key key = order == kDropped ? ~Key(0) : Key(order) << 32 | candidate;
      if (key < best) best = key, best_at = i;
    }
  }
  if (a.score_threshold < 0) {
    __syncthreads();
    sort_kept<kThreads>(kept_keys, kept, high, low);
  }
  if (tid == 0) m.kept_counts[list] = kept;
}

template <int kThreads>
void launch(const NmsArgs& a, const float* boxes, const void* group, const NmsMemory& m, cudaStream_t stream) {
  const auto lists = static_cast<unsigned>(a.lists());
  if (a.compares_groups()) suppress_list_softly<kThreads, true><<<lists, kThreads, 0, stream>>>(a, boxes, group, m);
  else suppress_list_softly<kThreads, false><<<lists, kThreads, 0, stream>>>(a, boxes, group, m);
}

}  // namespace

// Few long lists get more threads each.
void suppress_softly(const NmsArgs& a, const float* boxes, const void* group, const NmsMemory& m, cudaStream_t stream) {
  if (a.lists() >= 256 || a.room <= 1024) launch<256>(a, boxes, group, m, stream);
  else launch<1024>(a, boxes, group, m, stream);
}

}  // namespace fovea::core::cuda
