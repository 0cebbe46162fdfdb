// Greedy suppression: what each list keeps, best first.
#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

struct Corners {
  float x0, y0, x1, y1, area;
};

// As std::min and std::max: the first where one of them is NaN.
__device__ __forceinline__ float least(float a, float b) { return b < a ? b : a; }
__device__ __forceinline__ float greatest(float a, float b) { return a < b ? b : a; }

// The arithmetic is the reference's, operation by operation: the intrinsics are never contracted.
__device__ Corners corners(const NmsArgs& a, const float* b) {
  const float b0 = __ldg(b), b1 = __ldg(b + 1), b2 = __ldg(b + 2), b3 = __ldg(b + 3);
  Corners r{b0, b1, b2, b3, 0};
  switch (a.box_form) {
    case BoxForm::kXyxy: break;
    case BoxForm::kYxyx: r = {b1, b0, b3, b2, 0}; break;
    case BoxForm::kAnyDiagonal: r = {least(b1, b3), least(b0, b2), greatest(b3, b1), greatest(b2, b0), 0}; break;
    case BoxForm::kCentre: {
      const float w = __fmul_rn(b2, 0.5f), h = __fmul_rn(b3, 0.5f);
      r = {__fsub_rn(b0, w), __fsub_rn(b1, h), __fadd_rn(b0, w), __fadd_rn(b1, h), 0};
      break;
    }
    case BoxForm::kXywh: r = {b0, b1, __fadd_rn(b0, b2), __fadd_rn(b1, b3), 0}; break;
  }
  const float w = __fadd_rn(__fsub_rn(r.x1, r.x0), a.iou_offset), h = __fadd_rn(__fsub_rn(r.y1, r.y0), a.iou_offset);
  r.area = w > 0 && h > 0 ? __fmul_rn(w, h) : 0;
  return r;
}

// Is the IoU of a candidate with one kept before it too large? What minimum and maximum make of NaN does not matter
// here: a box with NaN has no area.
__device__ __forceinline__ bool overlap(const NmsArgs& args, const Corners& a, const Corners& b) {
  const float w = __fadd_rn(__fsub_rn(fminf(a.x1, b.x1), fmaxf(a.x0, b.x0)), args.iou_offset),
              h = __fadd_rn(__fsub_rn(fminf(a.y1, b.y1), fmaxf(a.y0, b.y0)), args.iou_offset);
  const float intersection = w > 0 && h > 0 ? __fmul_rn(w, h) : 0;
  float iou = 0;
  if (intersection > 0 && a.area > 0 && b.area > 0) {
    const float together = __fsub_rn(__fadd_rn(a.area, b.area), intersection);
    // The quotient itself matters only where it is near the threshold: a product tells on which side it is.
    const float least = __fmul_rn(args.iou_threshold, together);
    if (least > 1e-30f && fabsf(__fsub_rn(intersection, least)) > 1e-5f * least) return intersection > least;
    if (together > 0) iou = __fdiv_rn(intersection, together);
  }
  return passes(args.iou_or_equal, iou, args.iou_threshold);
}

template <int kCapacity>
struct Boxes {
  float x0[kCapacity], y0[kCapacity], x1[kCapacity], y1[kCapacity], area[kCapacity];

  __device__ void set(uint32_t i, const Corners& c) {
    x0[i] = c.x0, y0[i] = c.y0, x1[i] = c.x1, y1[i] = c.y1, area[i] = c.area;
  }
  __device__ Corners get(uint32_t i) const { return {x0[i], y0[i], x1[i], y1[i], area[i]}; }
};

// A list's candidates; `f` seldom needs the lower halves.
struct Candidates {
  static constexpr Key kLast = kLastCandidate;
  const uint32_t *high, *low;
  uint32_t count;

  template <int kThreads, typename F>
  __device__ void each(Key first, Key last, bool whole, const F& f) const {
    const auto first_high = static_cast<uint32_t>(first >> 32), last_high = static_cast<uint32_t>(last >> 32);
    constexpr uint32_t kBatch = 4;  // loads in flight
    for (uint64_t at = threadIdx.x; at < count; at += kBatch * kThreads) {
      uint32_t h[kBatch];
#pragma unroll
      for (uint32_t j = 0; j < kBatch; ++j)
        h[j] = at + j * kThreads < count ? __ldg(high + at + j * kThreads) : kDropped;
#pragma unroll
      for (uint32_t j = 0; j < kBatch; ++j) {
        if (h[j] < first_high || h[j] > last_high) continue;
        Key key = Key(h[j]) << 32;
        if (whole || h[j] == first_high || h[j] == last_high) {
          key |= __ldg(low + at + j * kThreads);
          if (key < first || key > last) continue;
        }
        f(key);
      }
    }
  }
};

// By one warp, word by word: who overlaps nobody that is kept or undecided is kept, who overlaps one that is kept is not.
// The first of the undecided is always decided. Word w of candidate c's mask is masks[w * stride + c]; `kept` is the same
// in every lane.
template <uint32_t kMaskWords, typename Open>
__device__ __forceinline__ void decide(const uint32_t* masks, uint32_t stride, const Open& is_open,
                                       uint32_t (&kept)[kMaskWords]) {
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (uint32_t w = 0; w < kMaskWords; ++w) {
    const uint32_t i = w * 32 + lane, mask = masks[w * stride + i];
    bool open = is_open(i);
#pragma unroll
    for (uint32_t v = 0; v < w; ++v) open &= (masks[v * stride + i] & kept[v]) == 0;
    uint32_t undecided = __ballot_sync(0xffffffffu, open), keep = 0;
    while (undecided != 0) {
      const bool mine = undecided >> lane & 1;
      const uint32_t good = __ballot_sync(0xffffffffu, mine && (mask & undecided) == 0);
      keep |= good;
      undecided &= ~good;
      undecided &= ~__ballot_sync(0xffffffffu, mine && (mask & keep) != 0);
    }
    kept[w] = keep;
  }
}

// ---- short lists: a warp for each, all of it at once. Most lists of a trained detector are empty or short.

constexpr uint32_t kShort = 128, kShortWords = kShort / 32, kShortWarps = 4;

struct ShortList {
  Key keys[kShort];
  Boxes<kShort> boxes;
  uint32_t masks[kShortWords * kShort];
};

__device__ void sort_short(Key* keys, uint32_t size) {
  for (uint32_t run = 2; run <= size; run <<= 1)
    for (uint32_t step = run >> 1; step > 0; step >>= 1) {
      for (uint32_t i = threadIdx.x % 32; i < size / 2; i += 32) {
        const uint32_t a = 2 * i - (i & (step - 1)), b = a + step;
        const Key x = keys[a], y = keys[b];
        if ((x > y) == ((a & run) == 0)) keys[a] = y, keys[b] = x;
      }
      __syncwarp();
    }
}

__global__ void __launch_bounds__(kShortWarps * 32) suppress_short(NmsArgs a, const float* boxes, NmsMemory m) {
  __shared__ ShortList shared[kShortWarps];
  const uint32_t lane = threadIdx.x % 32;
  const int64_t list = int64_t{blockIdx.x} * kShortWarps + threadIdx.x / 32;
  if (list >= a.images * (a.list_per_class ? a.classes : 1)) return;
  const uint32_t count = m.counts[list];
  if (count > kShort) return;
  ShortList& s = shared[threadIdx.x / 32];
  uint32_t size = 32;
  while (size < count) size *= 2;
  const int64_t begin = list * a.room;
  for (uint32_t i = lane; i < size; i += 32)
    s.keys[i] = i < count ? Key(__ldg(m.high + begin + i)) << 32 | __ldg(m.low + begin + i) : ~Key(0);
  __syncwarp();
  if (count > 1) sort_short(s.keys, size);
  const uint32_t most = min(count, a.most), words = (most + 31) / 32;
  const int64_t image = a.list_per_class ? list / a.classes : list;
  for (uint32_t c = lane; c < most; c += 32)
    s.boxes.set(c, corners(a, box_of(a, boxes, image, static_cast<uint32_t>(s.keys[c]))));
  __syncwarp();
  for (uint32_t v = 0; v < kShortWords; ++v) {
    const uint32_t c = v * 32 + lane;
    const Corners own = c < most ? s.boxes.get(c) : Corners{};
    for (uint32_t w = 0; w <= v; ++w) {
      uint32_t mask = 0;
      const uint32_t end = v < words && a.suppresses ? (w < v ? 32 : lane) : 0;
      if (c < most)
        for (uint32_t j = 0; j < end; ++j)
          if (overlap(a, own, s.boxes.get(w * 32 + j))) mask |= 1u << j;
      s.masks[w * kShort + c] = mask;
    }
  }
  __syncwarp();
  uint32_t kept[kShortWords], all = 0;
  decide<kShortWords>(s.masks, kShort, [&](uint32_t i) { return i < most; }, kept);
#pragma unroll
  for (uint32_t w = 0; w < kShortWords; ++w) {
    const uint32_t at = all + __popc(kept[w] & lanes_below());
    if ((kept[w] >> lane & 1) && at < a.keep) m.kept[list * a.keep + at] = s.keys[w * 32 + lane];
    all += __popc(kept[w]);
  }
  if (lane == 0) m.kept_counts[list] = min(all, a.keep);
}

// ---- any list

constexpr int kStep = 256;          // candidates looked at together
constexpr int kWords = kStep / 32;  // of a candidate's mask of those before it
constexpr int kTile = 256;          // kept boxes held in shared memory
constexpr int kChunk = 1024;
static_assert(kStep * kWords == kBins);  // masks lie where the histogram was

// One block goes over one list, from the best downwards, kStep candidates at a time: against those kept before, then
// among themselves by bit masks. kGroups: only candidates of one group compete.
template <int kThreads, bool kGroups>
__global__ void __launch_bounds__(kThreads, kThreads == 256 ? 5 : 1)
    suppress_list(NmsArgs a, const float* boxes, const void* group, NmsMemory m) {
  constexpr uint32_t kParts = kThreads / kStep;  // threads for a candidate
  __shared__ Chunk<kChunk> chunk;
  __shared__ uint32_t work[kGroups ? 2 * kBins : kBins];  // word w of candidate c: [w][c]
  __shared__ Boxes<kStep> candidates;
  __shared__ Boxes<kTile> tile;
  __shared__ long long groups[kGroups ? kStep : 1], tile_groups[kGroups ? kTile : 1];
  __shared__ uint32_t out[kStep];                   // overlaps one that was kept before
  __shared__ uint32_t before[kGroups ? kStep : 1];  // kept before, of its group
  __shared__ uint32_t words[kWords], taken_words[kWords];
  uint32_t* const masks = work;
  uint32_t* const alike = work + (kGroups ? kBins : 0);

  const uint32_t tid = threadIdx.x, lane = tid % 32, c = tid % kStep, part = tid / kStep;
  const int64_t list = blockIdx.x, image = a.list_per_class ? list / a.classes : list;
  if (!kGroups && m.counts[list] <= kShort) return;  // suppress_short's
  const Candidates source{m.thinned + list * a.room, m.low + list * a.room, m.counts[list]};
  const uint32_t most = min(a.most, source.count);
  Key* const kept_keys = m.kept + list * a.keep;
  const bool limited = kGroups && a.per_group != kNoLimit;
  uint32_t kept = 0, seen = 0;
  Key from = 0;
  while (seen < most && kept < a.keep) {
    const uint32_t found = next_chunk<kThreads>(source, from, min(most - seen, kChunk), work, chunk);
    const uint32_t size = min(found, most - seen);
    if (size == 0) break;  // the rest was dropped
    seen += size;
    for (uint32_t first = 0; first < size && kept < a.keep; first += kStep) {
      const bool valid = first + c < size;
      if (part == 0) {
        if (valid) {
          const auto number = static_cast<uint32_t>(chunk.keys[first + c]);
          candidates.set(c, corners(a, box_of(a, boxes, image, number)));
          if constexpr (kGroups) groups[c] = group_of(a, group, image, number);
        }
        out[c] = !valid;
        if constexpr (kGroups) before[c] = 0;
      }
      __syncthreads();
      const Corners own = valid ? candidates.get(c) : Corners{};
      long long own_group = 0;
      if constexpr (kGroups) own_group = valid ? groups[c] : 0;

      // Those kept before. One tile of them stays where it is; more are read again.
      bool hit = false;
      uint32_t same = 0;
      for (uint32_t begin = 0; begin < kept; begin += kTile) {
        const uint32_t count = min(kept - begin, kTile);
        if (kept > kTile) {
          __syncthreads();
          for (uint32_t j = tid; j < count; j += kThreads) {
            const auto number = static_cast<uint32_t>(kept_keys[begin + j]);
            tile.set(j, corners(a, box_of(a, boxes, image, number)));
            if constexpr (kGroups) tile_groups[j] = group_of(a, group, image, number);
          }
          __syncthreads();
        }
        if (!valid || (hit && !limited)) continue;
        for (uint32_t j = part; j < count; j += kParts) {
          if constexpr (kGroups) {
            if (tile_groups[j] != own_group) continue;
            ++same;
          }
          if (hit || !a.suppresses || !overlap(a, own, tile.get(j))) continue;
          hit = true;
          if (!limited) break;
        }
      }
      if (hit) out[c] = 1;
      if constexpr (kGroups)
        if (same > 0) atomicAdd(&before[c], same);

      // Those before it in this step.
      for (uint32_t w = part; w < kWords; w += kParts) {
        uint32_t mask = 0, mates = 0;
        const uint32_t end = valid && !hit && c > w * 32 ? min(c - w * 32, 32u) : 0;
        for (uint32_t j = 0; j < end; ++j) {
          if constexpr (kGroups) {
            if (groups[w * 32 + j] != own_group) continue;
            mates |= 1u << j;
          }
          if (a.suppresses && overlap(a, own, candidates.get(w * 32 + j))) mask |= 1u << j;
        }
        masks[w * kStep + c] = mask;
        if constexpr (kGroups) alike[w * kStep + c] = mates;
      }
      __syncthreads();

      if (tid < 32) {
        uint32_t decided[kWords];
        decide<kWords>(masks, kStep, [&](uint32_t i) { return out[i] == 0; }, decided);
#pragma unroll
        for (uint32_t w = 0; w < kWords; ++w)
          if (lane == 0) words[w] = decided[w];
      }
      __syncthreads();

      // Of a group only the first per_group: those that its limit cuts off would have kept out only others that it cuts
      // off as well.
      if (part == 0) {
        bool take = words[c / 32] >> lane & 1;
        if constexpr (kGroups) {
          if (limited && take) {
            uint32_t rank = before[c];
            for (uint32_t w = 0; w < kWords; ++w) rank += __popc(alike[w * kStep + c] & words[w]);
            take = rank < a.per_group;
          }
        }
        const uint32_t taken = __ballot_sync(0xffffffffu, take);
        if (lane == 0) taken_words[c / 32] = taken;
      }
      __syncthreads();
      uint32_t all = 0, at = kept;
      for (uint32_t w = 0; w < kWords; ++w) {
        const uint32_t count = __popc(taken_words[w]);
        if (w < c / 32) at += count;
        all += count;
      }
      if (part == 0 && (taken_words[c / 32] >> lane & 1)) {
        at += __popc(taken_words[c / 32] & lanes_below());
        if (at < a.keep) {
          kept_keys[at] = chunk.keys[first + c];
          if (at < kTile) {
            tile.set(at, own);
            if constexpr (kGroups) tile_groups[at] = own_group;
          }
        }
      }
      kept = min(kept + all, a.keep);
      __syncthreads();
    }
    from = chunk.keys[size - 1] + 1;
  }
  if (tid == 0) m.kept_counts[list] = kept;
}

// Few lists get more threads each.
constexpr int64_t kManyLists = 256;

template <bool kGroups>
void launch(const NmsArgs& a, const float* boxes, const void* group, const NmsMemory& m, cudaStream_t stream) {
  const auto lists = static_cast<unsigned>(a.lists());
  if (!kGroups) {
    suppress_short<<<(lists + kShortWarps - 1) / kShortWarps, kShortWarps * 32, 0, stream>>>(a, boxes, m);
    if (a.room <= kShort) return;
  }
  if (a.lists() >= kManyLists) suppress_list<256, kGroups><<<lists, 256, 0, stream>>>(a, boxes, group, m);
  else suppress_list<1024, kGroups><<<lists, 1024, 0, stream>>>(a, boxes, group, m);
}

}  // namespace

void suppress_lists(const NmsArgs& a, const float* boxes, const void* group, const NmsMemory& m, cudaStream_t stream) {
  if (a.compares_groups()) launch<true>(a, boxes, group, m, stream);
  else launch<false>(a, boxes, group, m, stream);
}

}  // namespace fovea::core::cuda
