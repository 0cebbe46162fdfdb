// Shortens long lists, many blocks a list: where lists are few, one block each (select.cuh) would leave most of the
// device idle. A radix select: block by block the elements are counted by a digit of their keys, the block that is
// through last finds the digit's value where enough is reached, and a next launch looks into it; launches that find
// nothing left to do end at once. Then those up to the end of that digit are copied, in any order, for select.cuh to
// put in order. What is kept depends on the keys alone: sums of integers do not depend on the order of their terms.
#pragma once

#include <algorithm>
#include <bit>

#include "kernels/cuda/device/select.cuh"

namespace fovea::core::cuda {

constexpr int kNarrowThreads = 256, kNarrowBatch = 8;
constexpr uint32_t kNarrowEach = 4096;  // elements of a block
// The order of a number in three digits; then the index, whose highest digit is enough: a list has room for all
// elements that differ in the others.
constexpr uint32_t kNarrowPasses = 4;

struct NarrowArgs {
  uint32_t lists = 0, elements = 0;  // elements: of a list at most
  uint32_t want = 0, room = 0;       // the best `want` of a list are kept, and `room` at most
  uint32_t index_shift = 0;
};

// Of a list; zeroes at first.
struct Narrowing {
  Key low;          // the last of those wanted is not before it
  Key last;         // once it is done: those up to here are kept
  uint32_t before;  // elements before `low`
  uint32_t blocks;  // that are through with this pass
  uint32_t done, padding;
};

struct NarrowMemory {
  Narrowing* lists;
  uint32_t* bins;   // kBins a list
  uint32_t* found;  // how many are kept of each list
};

// ---- on the host

// The lower halves of keys are less than `indices`. Returns whether it pays: where most of a list is wanted there is
// nothing to leave out, and what remains is a sort, chunk by chunk, by one block.
inline bool narrow_args(int64_t lists, int64_t elements, int64_t indices, int64_t want, NarrowArgs& a) {
  constexpr int64_t kFewLists = 64, kLongList = 32768, kSlack = 2048;
  if (lists < 1 || lists > kFewLists || elements < kLongList || want < 1 || want > elements / 2) return false;
  const int digits = std::bit_width(static_cast<uint64_t>(indices - 1));
  a.index_shift = static_cast<uint32_t>(std::max(digits - kDigit, 0));
  const int64_t room = want + std::max(kSlack, int64_t{1} << a.index_shift);
  if (room > elements / 2) return false;
  a.lists = static_cast<uint32_t>(lists), a.elements = static_cast<uint32_t>(elements);
  a.want = static_cast<uint32_t>(want), a.room = static_cast<uint32_t>(room);
  return true;
}

inline int64_t narrow_bytes(const NarrowArgs& a) { return a.lists * int64_t{sizeof(Narrowing) + kBins * 4}; }

// `at`: narrow_bytes(); `found`: one for each list.
inline NarrowMemory narrow_memory(const NarrowArgs& a, std::byte* at, uint32_t* found) {
  auto* const lists = reinterpret_cast<Narrowing*>(at);
  return {lists, reinterpret_cast<uint32_t*>(lists + a.lists), found};
}

// ---- on the device

__device__ __forceinline__ uint32_t narrow_blocks(uint32_t count) { return (count + (kNarrowEach - 1)) / kNarrowEach; }

// Where `want` elements are reached among kBins counts in memory, which are cleared; by the whole block. One thread
// calls found(bin, elements in the bins before it, elements in it).
template <typename F>
__device__ void find_digit(uint32_t* bins, uint32_t want, uint32_t* warps, const F& found) {
  constexpr int kEach = kBins / kNarrowThreads;
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint32_t own[kEach], sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    uint32_t* const bin = bins + threadIdx.x * kEach + i;
    own[i] = __ldcg(bin);  // other blocks have added to it
    *bin = 0;
    sum += own[i];
  }
  uint32_t inclusive = sum;
  for (int d = 1; d < 32; d <<= 1) {
    const uint32_t left = __shfl_up_sync(0xffffffffu, inclusive, d);
    if (lane >= d) inclusive += left;
  }
  if (lane == 31) warps[warp] = inclusive;
  __syncthreads();
  uint32_t before = inclusive - sum;
  for (uint32_t w = 0; w < warp; ++w) before += warps[w];
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    if (before < want && before + own[i] >= want) found(threadIdx.x * kEach + i, before, own[i]);
    before += own[i];
  }
}

// Lists says what the lists hold:
//   count(list)
//   key(list, i, whole)   of element i; unless `whole` its lower half does not matter
//   put(list, i, key)     writes the i-th of those kept
template <typename Lists>
__global__ void __launch_bounds__(kNarrowThreads)
    narrow_pass(Lists lists, NarrowArgs a, NarrowMemory m, uint32_t pass) {
  __shared__ uint32_t own[kBins];
  __shared__ uint32_t warps[kNarrowThreads / 32];
  __shared__ bool is_last;
  const uint32_t list = blockIdx.y, count = lists.count(list), blocks = narrow_blocks(count);
  Narrowing& state = m.lists[list];
  if (count <= a.room || blockIdx.x >= blocks || state.done) return;
  const uint32_t shift = pass < 2 ? 64 - kDigit * (pass + 1) : pass == 2 ? 32 : a.index_shift;
  const uint32_t above = pass < 3 ? 64 - kDigit * pass : 32;  // bits from here on are known
  const uint32_t mask = above - shift < kDigit ? (1u << (above - shift)) - 1 : kBins - 1;
  const Key known = pass > 0 ? state.low >> above : 0;
  for (uint32_t i = threadIdx.x; i < kBins; i += kNarrowThreads) own[i] = 0;
  __syncthreads();
  const uint32_t begin = blockIdx.x * kNarrowEach, end = count - begin < kNarrowEach ? count : begin + kNarrowEach;
  for (uint32_t at = begin + threadIdx.x; at < end; at += kNarrowThreads * kNarrowBatch) {
    Key keys[kNarrowBatch];
#pragma unroll
    for (uint32_t j = 0; j < kNarrowBatch; ++j)
      keys[j] = at + j * kNarrowThreads < end ? lists.key(list, at + j * kNarrowThreads, false) : 0;
#pragma unroll
    for (uint32_t j = 0; j < kNarrowBatch; ++j) {
      if (at + j * kNarrowThreads >= end || (pass > 0 && keys[j] >> above != known)) continue;
      if (pass == 3) keys[j] = lists.key(list, at + j * kNarrowThreads, true);
      atomicAdd(&own[static_cast<uint32_t>(keys[j] >> shift) & mask], 1u);
    }
  }
  __syncthreads();
  uint32_t* const bins = m.bins + int64_t{list} * kBins;
  for (uint32_t i = threadIdx.x; i < kBins; i += kNarrowThreads)
    if (own[i] > 0) atomicAdd(bins + i, own[i]);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) is_last = atomicAdd(&state.blocks, 1u) == blocks - 1;
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  const uint32_t before = state.before;
  find_digit(bins, a.want - before, warps, [&](uint32_t bin, uint32_t earlier, uint32_t size) {
    const Key first = (pass > 0 ? known << above : 0) | Key(bin) << shift;
    state.blocks = 0;
    if (pass == kNarrowPasses - 1 || before + earlier + size <= a.room)
      state.done = 1, state.last = first + ((Key(1) << shift) - 1);
    else state.low = first, state.before = before + earlier;
  });
}

template <typename Lists>
__global__ void __launch_bounds__(kNarrowThreads) narrow_copy(Lists lists, NarrowArgs a, NarrowMemory m) {
  const uint32_t list = blockIdx.y, count = lists.count(list), lane = threadIdx.x % 32;
  if (blockIdx.x >= narrow_blocks(count)) return;
  const Key last = count <= a.room ? ~Key(0) : m.lists[list].last;
  const uint32_t begin = blockIdx.x * kNarrowEach, end = count - begin < kNarrowEach ? count : begin + kNarrowEach;
  for (uint32_t tile = begin; tile < end; tile += kNarrowThreads * kNarrowBatch) {
    const uint32_t at = tile + threadIdx.x;
    Key keys[kNarrowBatch];
#pragma unroll
    for (uint32_t j = 0; j < kNarrowBatch; ++j)
      keys[j] = at + j * kNarrowThreads < end ? lists.key(list, at + j * kNarrowThreads, false) : ~Key(0);
    uint32_t masks[kNarrowBatch], sum = 0;
#pragma unroll
    for (uint32_t j = 0; j < kNarrowBatch; ++j) {
      bool take = at + j * kNarrowThreads < end && keys[j] >> 32 <= last >> 32;
      if (take) keys[j] = lists.key(list, at + j * kNarrowThreads, true);
      take = take && keys[j] <= last;
      masks[j] = __ballot_sync(0xffffffffu, take);
      sum += __popc(masks[j]);
    }
    if (sum == 0) continue;
    uint32_t to = 0;
    if (lane == 0) to = atomicAdd(m.found + list, sum);
    to = __shfl_sync(0xffffffffu, to, 0);
#pragma unroll
    for (uint32_t j = 0; j < kNarrowBatch; ++j) {
      if (masks[j] >> lane & 1) lists.put(list, to + __popc(masks[j] & ((1u << lane) - 1)), keys[j]);
      to += __popc(masks[j]);
    }
  }
}

template <typename Lists>
cudaError_t narrow(const Lists& lists, const NarrowArgs& a, const NarrowMemory& m, cudaStream_t stream) {
  if (cudaError_t e = cudaMemsetAsync(m.lists, 0, static_cast<size_t>(narrow_bytes(a)), stream); e != cudaSuccess)
    return e;
  if (cudaError_t e = cudaMemsetAsync(m.found, 0, size_t{a.lists} * 4, stream); e != cudaSuccess) return e;
  const dim3 grid((a.elements + kNarrowEach - 1) / kNarrowEach, a.lists);
  for (uint32_t pass = 0; pass < kNarrowPasses; ++pass)
    narrow_pass<<<grid, kNarrowThreads, 0, stream>>>(lists, a, m, pass);
  narrow_copy<<<grid, kNarrowThreads, 0, stream>>>(lists, a, m);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
