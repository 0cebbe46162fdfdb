// What the parts of Nms on the device share: nms_filter.cu makes lists of candidates, nms_shorten.cu shortens
// them, nms_suppress.cu and nms_soft.cu go over them, nms_output.cu puts together what they have kept.
#pragma once

#include "kernels/cuda/detect/nms.h"
#include "kernels/cuda/device/select.cuh"

namespace fovea::core::cuda {

// A key is the score's order, best first, above the candidate's number in its image, box * classes + class: ties go to
// the lowest box, then the lowest class. NaN is no candidate, so that the upper half is never all ones.
constexpr uint32_t kDropped = 0xffffffffu;
// The last key a candidate can have.
constexpr Key kLastCandidate = Key(kDropped - 1) << 32 | 0xffffffffu;

struct NmsMemory {
  // Of images_at_once images; `lowered` of all where lists are shortened.
  uint32_t* counts;
  uint32_t *high, *low;  // halves of the candidates' keys, `room` a list
  uint32_t* thinned;     // as high, without those beyond the best of their group
  float* lowered;        // soft suppression: the candidates' scores
  std::byte* narrowing;  // narrow_bytes()
  // Of all images.
  uint32_t *left_counts, *left_high, *left_low;  // the shortened lists, `left` keys each
  uint32_t* kept_counts;                         // of each list
  Key* kept;                                     // `keep` a list
  uint32_t* image_counts;
  Key* found;  // of each image, in the outputs' order; in the candidates' memory
  uint32_t found_room;
};

// ---- launches, in this order

cudaError_t filter_candidates(const NmsArgs& args, const float* scores, const NmsMemory& memory, cudaStream_t stream);
cudaError_t filter_heads(const NmsArgs& args, const ScoreHeads& scores, const NmsMemory& memory, cudaStream_t stream);
// Where a list has several groups: drops what is not among the best most_of_group of its group.
void thin_groups(const NmsArgs& args, const void* group, const NmsMemory& memory, cudaStream_t stream);
// The room that is left of a list where it pays to shorten it to what takes part, otherwise 0: where images take turns,
// and by many blocks where the lists of images_at_once are few and long.
uint32_t shortened_room(const NmsArgs& args);
uint32_t narrow_room(const NmsArgs& args);
int64_t narrow_bytes(const NmsArgs& args);
cudaError_t shorten_lists(const NmsArgs& args, const NmsMemory& memory, cudaStream_t stream);
void suppress_lists(const NmsArgs& args, const float* boxes, const void* group, const NmsMemory& memory,
                    cudaStream_t stream);
// The same where overlap lowers scores: into `kept` with the lowered scores, in their order.
void suppress_softly(const NmsArgs& args, const float* boxes, const void* group, const NmsMemory& memory,
                     cudaStream_t stream);
// To lists of images, and where the outputs are padded to the outputs; where they are not, write_found() does that.
void merge_lists(const NmsArgs& args, const NmsTensors& tensors, const NmsMemory& memory, cudaStream_t stream);
void write_found(const NmsArgs& args, const NmsTensors& tensors, const NmsMemory& memory, cudaStream_t stream);

// ---- on the device

__device__ __forceinline__ bool passes(bool or_equal, float value, float threshold) {
  return or_equal ? value >= threshold : value > threshold;
}

__device__ __forceinline__ bool is_candidate(const NmsArgs& a, uint32_t column, float score) {
  return column != a.background && passes(a.score_or_equal, score, a.score_threshold);
}

__device__ __forceinline__ uint32_t lanes_below() { return (1u << (threadIdx.x % 32)) - 1; }

__host__ __device__ inline uint32_t tiles(uint32_t count, uint32_t size) {
  return static_cast<uint32_t>((uint64_t{count} + size - 1) / size);
}

// The best class of a box behind `from`, by a warp; ~0 if there is none. `rank` gives a class's key or ~0.
template <typename F>
__device__ Key best_class(uint32_t classes, Key from, const F& rank) {
  Key best = ~Key(0);
  for (uint32_t c = threadIdx.x % 32; c < classes; c += 32) {
    const Key k = rank(c);
    if (k >= from && k < best) best = k;
  }
  for (int d = 16; d > 0; d >>= 1) {
    const Key other = __shfl_xor_sync(0xffffffffu, best, d);
    best = other < best ? other : best;
  }
  return best;
}

__device__ __forceinline__ long long group_at(const NmsArgs& a, const void* group, int64_t at) {
  return a.wide_group ? static_cast<const long long*>(group)[at] : static_cast<const int*>(group)[at];
}

__device__ __forceinline__ long long group_of(const NmsArgs& a, const void* group, int64_t image, uint32_t candidate) {
  return a.rivals == Rivals::kSameClass ? candidate % a.classes
                                        : group_at(a, group, image * a.boxes + candidate / a.classes);
}

__device__ __forceinline__ const float* box_of(const NmsArgs& a, const float* boxes, int64_t image,
                                               uint32_t candidate) {
  const int64_t at = a.boxes_per_class ? candidate : candidate / a.classes;
  return boxes + (image * a.boxes * (a.boxes_per_class ? a.classes : 1) + at) * 4;
}

// A list's candidates for next_chunk(); `f` seldom needs the lower halves.
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

}  // namespace fovea::core::cuda
