// The best of a list, a chunk at a time and in order: what top-k, sorting and suppression of lists of any length are
// made of. One block works on one list. Elements are 64-bit keys, no two alike, and the smallest is the best: the bits
// of a number in their order above an index.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace fovea::core::cuda {

using Key = unsigned long long;

constexpr int kDigit = 11;  // bits of a key that one pass looks at
constexpr int kBins = 1 << kDigit;

// Larger where x is larger; -0 is 0. NaN with its sign bit clear comes above all numbers.
__device__ __forceinline__ uint32_t ordered(float x) {
  const uint32_t bits = __float_as_uint(__fadd_rn(x, 0.0f));
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The number again; 0 where it was -0.
__device__ __forceinline__ float from_ordered(uint32_t order) {
  return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

template <int kRoom>
struct Chunk {
  Key keys[kRoom];
  uint32_t warps[32];
  uint32_t count;        // of keys
  uint32_t want, over;   // bins: where enough is reached, where there is no room any more
  uint32_t before_over;  // elements in the bins before `over`
};

// Sorts keys[0..size), size a power of two. A warp's own 64 keys need no barrier of the block.
template <int kThreads>
__device__ void sort_keys(Key* keys, uint32_t size) {
  for (uint32_t run = 2; run <= size; run <<= 1)
    for (uint32_t step = run >> 1; step > 0; step >>= 1) {
      for (uint32_t i = threadIdx.x; i < size / 2; i += kThreads) {
        const uint32_t a = 2 * i - (i & (step - 1)), b = a + step;
        const Key x = keys[a], y = keys[b];
        if ((x > y) == ((a & run) == 0)) keys[a] = y, keys[b] = x;
      }
      // Do this step and the next one stay in the warp's 64 keys?
      const bool own = step > 1 ? step <= 32 : run <= 32 && run < size;
      if (own) __syncwarp();
      else __syncthreads();
    }
}

// Finds among 2^kDigit counts the bin where `want` elements are reached and the one where there are more than `room`.
template <int kThreads, int kRoom>
__device__ void find_bins(const uint32_t* bins, uint32_t want, Chunk<kRoom>& chunk) {
  constexpr int kEach = kBins / kThreads;
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t* own = bins + threadIdx.x * kEach;
  if (threadIdx.x == 0) chunk.want = kBins - 1, chunk.over = kBins, chunk.before_over = 0;
  uint32_t sum = 0;
  for (int i = 0; i < kEach; ++i) sum += own[i];
  uint32_t inclusive = sum;
  for (int d = 1; d < 32; d <<= 1) {
    const uint32_t left = __shfl_up_sync(0xffffffffu, inclusive, d);
    if (lane >= d) inclusive += left;
  }
  if (lane == 31) chunk.warps[warp] = inclusive;
  __syncthreads();
  uint32_t before = inclusive - sum;
  for (uint32_t w = 0; w < warp; ++w) before += chunk.warps[w];
  for (int i = 0; i < kEach; ++i) {  // one thread has each of the two bins
    const uint32_t after = before + own[i];
    if (before < want && after >= want) chunk.want = threadIdx.x * kEach + i;
    if (before <= kRoom && after > kRoom) chunk.over = threadIdx.x * kEach + i, chunk.before_over = before;
    before = after;
  }
  __syncthreads();
}

// Fills chunk.keys with the best of those from `from` on, in order, and returns how many: `want` of them or more, if
// there are as many and they have room; else some, at least one unless there is none. want > 0. The whole block calls
// it, behind a barrier if it used `bins` (kBins counts) for something else; it ends with one.
//   source.count            as many elements as there may be
//   source.kLast            the largest key there can be
//   source.each<kThreads>(low, high, whole, f)   calls f(key) for the keys of [low, high], shared out among the
//   threads;
//                           unless `whole` the lower 32 bits of f's argument do not matter
template <int kThreads, int kRoom, typename Source>
__device__ uint32_t next_chunk(const Source& source, Key from, uint32_t want, uint32_t* bins, Chunk<kRoom>& chunk) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024 && kBins % kThreads == 0 && (kRoom & (kRoom - 1)) == 0);
  Key high = Source::kLast;
  if (source.count > kRoom) {
    Key low = from;
    for (int shift = 64 - kDigit;; shift = shift > kDigit ? shift - kDigit : 0) {
      for (uint32_t i = threadIdx.x; i < kBins; i += kThreads) bins[i] = 0;
      __syncthreads();
      source.template each<kThreads>(low, high, shift < 32,
                                     [&](Key k) { atomicAdd(&bins[(k >> shift) & (kBins - 1)], 1u); });
      __syncthreads();
      find_bins<kThreads>(bins, want, chunk);
      const Key base = shift + kDigit >= 64 ? 0 : low >> (shift + kDigit) << (shift + kDigit);
      const uint32_t wanted = chunk.want, over = chunk.over;
      const bool fits = wanted < over || chunk.before_over > 0;
      const Key bin = fits ? (wanted < over ? wanted : over - 1) : over;
      const Key first = base + (bin << shift), last = first + ((Key(1) << shift) - 1);
      __syncthreads();  // before the bins are cleared, or used otherwise
      if (high > last) high = last;
      if (fits) break;
      if (low < first) low = first;  // the first bin that is not empty holds too many: look into it
    }
  }
  if (threadIdx.x == 0) chunk.count = 0;
  __syncthreads();
  source.template each<kThreads>(from, high, true, [&](Key k) {
    const uint32_t at = atomicAdd(&chunk.count, 1u);
    if (at < kRoom) chunk.keys[at] = k;
  });
  __syncthreads();
  const uint32_t count = chunk.count < kRoom ? chunk.count : kRoom;
  uint32_t size = 1;
  while (size < count) size <<= 1;
  for (uint32_t i = count + threadIdx.x; i < size; i += kThreads) chunk.keys[i] = ~Key(0);
  __syncthreads();
  sort_keys<kThreads>(chunk.keys, size);
  return count;
}

}  // namespace fovea::core::cuda
