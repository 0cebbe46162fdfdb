// Scores that pass, from the heads' outputs: activation and threshold without a tensor of scores.
#include <limits>

#include "kernels/cuda/device/heads.cuh"
#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

constexpr float kLeastThreshold = 1e-30f;

// The scores of one box; whole warps make theirs together. What surely does not pass, or surely does, is known without
// its exponential: `cut` is below the argument of the least score that passes, `sure` above it. Thresholds at the ends
// of what float32 has are not taken for granted.
template <typename T, ScoreActivation kActivation>
struct ScoreRow {
  const T* x;
  uint32_t stride;
  float largest = 0, scale = 1, cut;
  float sure = std::numeric_limits<float>::infinity();  // the argument of what surely passes
  bool may_pass;  // can any of them?

  __device__ float number(uint32_t k) const { return to_float(x[k * stride]); }

  __device__ ScoreRow(const NmsArgs& a, const T* row, uint32_t number_stride, uint32_t numbers)
      : x(row), stride(number_stride), cut(-std::numeric_limits<float>::infinity()) {
    const float threshold = a.score_threshold;
    float best = -std::numeric_limits<float>::infinity();  // but for the background; NaN is left to the score
    const uint32_t skipped = min(a.background, numbers);
#pragma unroll 8
    for (uint32_t k = 0; k < skipped; ++k) best = fmaxf(best, number(k));
#pragma unroll 8
    for (uint32_t k = skipped + 1; k < numbers; ++k) best = fmaxf(best, number(k));
    if constexpr (kActivation == ScoreActivation::kSoftmax) {
      largest = skipped < numbers ? fmaxf(best, number(skipped)) : best;
      // The sum is at least 1: where the largest alone keeps all others below the threshold, as the background does at
      // most boxes of a trained detector, it need not be known.
      if (threshold > kLeastThreshold) cut = logf(threshold) - 1e-3f;
      may_pass = best - largest >= cut;
      if (!__any_sync(0xffffffffu, may_pass)) return;
      // The approximation is wrong by a few units in the last place where a term counts at all.
      float sum = 0;
#pragma unroll 8
      for (uint32_t k = 0; k < numbers; ++k) sum += __expf(number(k) - largest);
      scale = 1.0f / sum;
      if (threshold > kLeastThreshold) cut = logf(threshold * sum) - 1e-3f, sure = cut + 2e-3f;
      if (threshold <= 0) sure = -60.0f;  // above 0 after the division, too
    } else if constexpr (kActivation == ScoreActivation::kSigmoid) {
      if (threshold <= 0) sure = -80.0f;
      if (threshold > kLeastThreshold && threshold < 0.9999f) {
        const float logit = logf(threshold / (1.0f - threshold));
        cut = logit - 1e-3f * (1 + fabsf(logit)), sure = logit + 1e-3f * (1 + fabsf(logit));
      }
    } else {
      cut = threshold;
    }
    may_pass = best - largest >= cut;
  }

  // The row of another of the warp's threads.
  __device__ ScoreRow of_lane(int lane) const {
    ScoreRow r = *this;
    r.x = reinterpret_cast<const T*>(__shfl_sync(0xffffffffu, reinterpret_cast<unsigned long long>(x), lane));
    r.largest = __shfl_sync(0xffffffffu, largest, lane), r.scale = __shfl_sync(0xffffffffu, scale, lane);
    r.cut = __shfl_sync(0xffffffffu, cut, lane), r.sure = __shfl_sync(0xffffffffu, sure, lane);
    return r;
  }

  __device__ float argument(uint32_t k) const {
    return number(k) - (kActivation == ScoreActivation::kSoftmax ? largest : 0.0f);
  }
  __device__ float score(float of) const {
    if constexpr (kActivation == ScoreActivation::kSoftmax) return expf(of) * scale;
    if constexpr (kActivation == ScoreActivation::kSigmoid) return 1.0f / (1.0f + expf(-of));
    return of;
  }

  __device__ bool passes(const NmsArgs& a, uint32_t k) const {
    const float of = argument(k);
    if (of < cut) return false;
    return of > sure ? k != a.background && scale == scale : is_candidate(a, k, score(of));
  }
  // ~0 where it does not pass: the upper half of no candidate's key.
  __device__ uint32_t key(const NmsArgs& a, uint32_t k) const {
    return passes(a, k) ? ~ordered(score(argument(k))) : kDropped;
  }
};

// Boxes of a warp are looked at one by one, its threads each at other classes, where that takes at most three fifths of
// the steps of going class by class: in a trained detector nearly always. Class by class, what is written lies side by
// side.
__device__ bool are_few(uint32_t boxes, uint32_t classes) { return boxes * ((classes + 31) / 32) * 5 <= classes * 3; }

// A list for each class, or one for each image. Places in the lists are taken for a whole tile at once.
template <typename T, ScoreActivation kActivation>
__global__ void __launch_bounds__(kHeadThreads) filter_tiles(const __grid_constant__ Heads h, NmsArgs a, NmsMemory m) {
  extern __shared__ uint4 memory[];
  uint32_t* const places = reinterpret_cast<uint32_t*>(memory + h.tile_vectors);  // of each of the tile's lists
  const uint32_t lists = a.list_per_class ? a.classes : 1, lane = threadIdx.x % 32;
  for (uint32_t l = threadIdx.x; l < lists; l += kHeadThreads) places[l] = 0;
  const HeadTile<T> tile = load_tile<T>(h, blockIdx.x, memory);
  const HeadPiece& p = *tile.piece;
  for (uint32_t first = 0; first < tile.boxes; first += kHeadThreads) {
    const bool inside = first + threadIdx.x < tile.boxes;
    uint32_t pixel = inside ? first + threadIdx.x : 0;
    const uint32_t anchor = p.by_anchors.split(pixel);
    const ScoreRow<T, kActivation> own(a, tile.row(pixel, anchor), p.number_stride, a.classes);
    const uint32_t open = __ballot_sync(0xffffffffu, inside && own.may_pass);
    const bool few = are_few(__popc(open), a.classes);
    const auto list_of = [&](uint32_t k) { return a.list_per_class ? k : 0; };

    bool passed = false;
    if (few) {
      for (uint32_t left = open; left != 0; left &= left - 1) {
        const auto row = own.of_lane(__ffs(static_cast<int>(left)) - 1);
        for (uint32_t k = lane; k < a.classes; k += 32)
          if (row.passes(a, k)) atomicAdd(&places[list_of(k)], 1u), passed = true;
      }
    } else {
      for (uint32_t k = 0; k < a.classes; ++k) {
        const uint32_t mask = __ballot_sync(0xffffffffu, inside && own.passes(a, k));
        if (mask != 0 && lane == 0) atomicAdd(&places[list_of(k)], static_cast<uint32_t>(__popc(mask)));
        passed |= mask != 0;
      }
    }
    if (!__syncthreads_or(passed)) continue;
    for (uint32_t l = threadIdx.x; l < lists; l += kHeadThreads)
      if (places[l] > 0) places[l] = atomicAdd(&m.counts[tile.image * lists + l], places[l]);
    __syncthreads();

    const uint32_t own_box = tile.box(pixel, anchor);
    const auto put = [&](uint32_t k, uint32_t place, uint32_t high, uint32_t box) {
      const int64_t at = (tile.image * lists + list_of(k)) * a.room + place;
      m.high[at] = high;
      m.low[at] = box * a.classes + k;
    };
    if (few) {
      for (uint32_t left = open; left != 0; left &= left - 1) {
        const int from = __ffs(static_cast<int>(left)) - 1;
        const auto row = own.of_lane(from);
        const uint32_t box = __shfl_sync(0xffffffffu, own_box, from);
        for (uint32_t k = lane; k < a.classes; k += 32)
          if (const uint32_t high = row.key(a, k); high != kDropped)
            put(k, atomicAdd(&places[list_of(k)], 1u), high, box);
      }
    } else {
      for (uint32_t k = 0; k < a.classes; ++k) {
        const uint32_t high = inside ? own.key(a, k) : kDropped;
        const uint32_t mask = __ballot_sync(0xffffffffu, high != kDropped);
        if (mask == 0) continue;
        uint32_t begin = 0;
        if (lane == 0) begin = atomicAdd(&places[list_of(k)], static_cast<uint32_t>(__popc(mask)));
        begin = __shfl_sync(0xffffffffu, begin, 0) + __popc(mask & lanes_below());
        if (high != kDropped) put(k, begin, high, own_box);
      }
    }
    __syncthreads();
    for (uint32_t l = threadIdx.x; l < lists; l += kHeadThreads) places[l] = 0;
    __syncthreads();
  }
}

template <ScoreActivation kActivation>
cudaError_t filter(const NmsArgs& a, const Heads& h, const NmsMemory& m, cudaStream_t stream) {
  const auto extra = static_cast<uint32_t>(a.lists_per_image() * 4);
  return h.half ? launch_tiles(filter_tiles<__half, kActivation>, h, extra, stream, a, m)
                : launch_tiles(filter_tiles<float, kActivation>, h, extra, stream, a, m);
}

}  // namespace

cudaError_t filter_heads(const NmsArgs& a, const ScoreHeads& scores, const NmsMemory& m, cudaStream_t stream) {
  if (a.keep == 0) return cudaSuccess;
  switch (scores.activation) {
    case ScoreActivation::kNone: return filter<ScoreActivation::kNone>(a, scores.heads, m, stream);
    case ScoreActivation::kSigmoid: return filter<ScoreActivation::kSigmoid>(a, scores.heads, m, stream);
    case ScoreActivation::kSoftmax: return filter<ScoreActivation::kSoftmax>(a, scores.heads, m, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace fovea::core::cuda
