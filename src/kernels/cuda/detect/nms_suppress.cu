// Greedy suppression: what each list keeps, best first.
#include "kernels/cuda/device/iou.cuh"
#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

struct Rival {
  float x0, y0, x1, y1;
  float share;  // the part of its area that an intersection has to exceed, together with the other box's: t / (1 + t)

  __device__ Corners corners(float offset) const {
    Corners c{x0, y0, x1, y1, 0};
    c.area = area_of(c, offset);
    return c;
  }
};

__device__ Rival rival(const NmsArgs& a, const float* box) {
  const Corners c = corners(a, box);
  const float t = a.iou_threshold;
  const bool usual = c.area >= 1e-30f && c.area <= 1e30f && t >= 1e-3f && t <= 1;  // no box without area, or with NaN
  return {c.x0, c.y0, c.x1, c.y1, usual ? c.area * (t / (1 + t)) : __int_as_float(0x7f800000)};
}

// Is the IoU of a candidate with one kept before it too large? I / (A + B - I) > t where I > (A + B) t / (1 + t): the
// quotient itself matters only where the two are close, or a box is unusual.
__device__ __forceinline__ bool overlap(const NmsArgs& args, const Rival& a, const Rival& b) {
  const float w = __fadd_rn(__fsub_rn(fminf(a.x1, b.x1), fmaxf(a.x0, b.x0)), args.iou_offset),
              h = __fadd_rn(__fsub_rn(fminf(a.y1, b.y1), fmaxf(a.y0, b.y0)), args.iou_offset);
  const float shares = a.share + b.share, more = __fmul_rn(fmaxf(w, 0), fmaxf(h, 0)) - shares;
  if (fabsf(more) > 1e-5f * shares) return more > 0;
  return passes(args.iou_or_equal, iou(a.corners(args.iou_offset), b.corners(args.iou_offset), args.iou_offset),
                args.iou_threshold);
}

template <int kCapacity>
struct Boxes {
  float4 box[kCapacity];
  float share[kCapacity];

  __device__ void set(uint32_t i, const Rival& c) {
    box[i] = make_float4(c.x0, c.y0, c.x1, c.y1), share[i] = c.share;
  }
  __device__ Rival get(uint32_t i) const { return {box[i].x, box[i].y, box[i].z, box[i].w, share[i]}; }
};

// By one warp, word by word: who overlaps nobody that is kept or undecided is kept, who overlaps one that is kept is
// not. The first of the undecided is always decided. Word w of candidate c's mask is masks[w * stride + c]; `kept` is
// the same in every lane.
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
    s.boxes.set(c, rival(a, box_of(a, boxes, image, static_cast<uint32_t>(s.keys[c]))));
  __syncwarp();
  for (uint32_t v = 0; v < kShortWords; ++v) {
    const uint32_t c = v * 32 + lane;
    const Rival own = c < most ? s.boxes.get(c) : Rival{};
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
  decide<kShortWords>(
      s.masks, kShort, [&](uint32_t i) { return i < most; }, kept);
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
          candidates.set(c, rival(a, box_of(a, boxes, image, number)));
          if constexpr (kGroups) groups[c] = group_of(a, group, image, number);
        }
        out[c] = !valid;
        if constexpr (kGroups) before[c] = 0;
      }
      __syncthreads();
      const Rival own = valid ? candidates.get(c) : Rival{};
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
            tile.set(j, rival(a, box_of(a, boxes, image, number)));
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
      __syncthreads();

      if constexpr (kGroups) {
        // Those before it in this step: 32 candidates against 32 a warp, shared out evenly.
        const uint32_t blocks = (min(size - first, uint32_t{kStep}) + 31) / 32;
        for (uint32_t task = tid / 32; task < kWords * (kWords + 1) / 2; task += kThreads / 32) {
          uint32_t v = 0, w = task;
          while (w > v) w -= ++v;
          const uint32_t i = v * 32 + lane;
          const bool looks = v < blocks && first + i < size && out[i] == 0;
          const Rival mine = looks ? candidates.get(i) : Rival{};
          const long long mine_group = looks ? groups[i] : 0;
          uint32_t mask = 0, mates = 0;
          const uint32_t end = looks ? (w < v ? 32 : lane) : 0;
          for (uint32_t j = 0; j < end; ++j) {
            if (groups[w * 32 + j] != mine_group) continue;
            mates |= 1u << j;
            if (a.suppresses && overlap(a, mine, candidates.get(w * 32 + j))) mask |= 1u << j;
          }
          masks[w * kStep + i] = mask;
          alike[w * kStep + i] = mates;
        }
        __syncthreads();

        if (tid < 32) {
          uint32_t decided[kWords];
          decide<kWords>(
              masks, kStep, [&](uint32_t i) { return out[i] == 0; }, decided);
#pragma unroll
          for (uint32_t w = 0; w < kWords; ++w)
            if (lane == 0) words[w] = decided[w];
        }
        __syncthreads();
      } else {
        // Word by word: those kept of 32 are known before others are held against them, and them alone.
        for (uint32_t v = tid / 32; v < kWords; v += kThreads / 32) {
          const uint32_t i = v * 32 + lane;
          const Rival mine = out[i] == 0 ? candidates.get(i) : Rival{};
          uint32_t mask = 0;
          const uint32_t end = out[i] == 0 && a.suppresses ? lane : 0;
          for (uint32_t j = 0; j < end; ++j)
            if (overlap(a, mine, candidates.get(v * 32 + j))) mask |= 1u << j;
          masks[i] = mask;
          if (lane == 0) words[v] = 0;
        }
        bool gone = !valid || hit || !a.suppresses;
        const uint32_t blocks = (min(size - first, uint32_t{kStep}) + 31) / 32;
        for (uint32_t v = 0; v < blocks; ++v) {
          __syncthreads();
          if (tid < 32) {
            uint32_t decided[1];
            decide<1>(
                masks + v * 32, 0, [&](uint32_t i) { return out[v * 32 + i] == 0; }, decided);
            if (lane == 0) words[v] = decided[0];
          }
          __syncthreads();
          if (gone || c / 32 <= v) continue;
          for (uint32_t left = words[v], n = 0; left != 0 && !gone; left &= left - 1, ++n)
            if (n % kParts == part) gone = overlap(a, own, candidates.get(v * 32 + __ffs(static_cast<int>(left)) - 1));
          if (gone) out[c] = 1;
        }
        __syncthreads();
      }

      // Of a group only the first per_group: those that its limit cuts off would have kept out only others that it cuts
      // off as well.
      if (part == 0) {
        bool take = words[c / 32] >> lane & 1;
        if constexpr (kGroups) {
          if (limited && take) {
            uint32_t rank = before[c];
            for (uint32_t w = 0; w <= c / 32; ++w) rank += __popc(alike[w * kStep + c] & words[w]);
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
