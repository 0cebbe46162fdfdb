#include "kernels/cuda/reduce/top_k.h"

#include "kernels/cuda/device/narrow.cuh"

namespace fovea::core::cuda {
namespace {

__device__ __forceinline__ uint32_t order_of(float x) { return x == x ? ordered(x) : 0xffffffffu; }  // NaN above all
__device__ __forceinline__ uint32_t order_of(int x) { return static_cast<uint32_t>(x) ^ 0x80000000u; }

// A line's elements: their order, the first lowest, above their indices.
template <typename T>
struct Line {
  const T* x;
  int64_t stride;
  bool largest;

  __device__ Line(const TopKArgs& a, const T* all, uint32_t line)
      : x(all + line / a.inner * a.length * a.inner + line % a.inner), stride(a.inner), largest(a.largest) {}

  __device__ T value(uint32_t i) const { return __ldg(x + static_cast<int64_t>(i) * stride); }
  __device__ Key key(uint32_t i, T of) const {
    const uint32_t order = order_of(of);
    return Key(largest ? ~order : order) << 32 | i;
  }
};

// All of a line.
template <typename T>
struct WholeLine {
  static constexpr Key kLast = ~Key(0);
  Line<T> line;
  uint32_t count;

  template <int kThreads, typename F>
  __device__ void each(Key first, Key last, bool, const F& f) const {
    constexpr uint32_t kBatch = 4;  // loads in flight
    for (uint64_t at = threadIdx.x; at < count; at += kBatch * kThreads) {
      T values[kBatch];
#pragma unroll
      for (uint32_t j = 0; j < kBatch; ++j) {
        const uint64_t i = at + j * kThreads;
        values[j] = i < count ? line.value(static_cast<uint32_t>(i)) : T(0);
      }
#pragma unroll
      for (uint32_t j = 0; j < kBatch; ++j) {
        const uint64_t i = at + j * kThreads;
        if (i >= count) continue;
        const Key k = line.key(static_cast<uint32_t>(i), values[j]);
        if (k >= first && k <= last) f(k);
      }
    }
  }
};

// Those that narrowing has left.
struct Keys {
  static constexpr Key kLast = ~Key(0);
  const Key* keys;
  uint32_t count;

  template <int kThreads, typename F>
  __device__ void each(Key first, Key last, bool, const F& f) const {
    for (uint64_t i = threadIdx.x; i < count; i += kThreads) {
      const Key k = __ldg(keys + i);
      if (k >= first && k <= last) f(k);
    }
  }
};

// The first k of `source`, by a block.
template <int kThreads, int kRoom, typename T, typename Source>
__device__ void write_first(const TopKArgs& a, const Line<T>& line, const Source& source, T* values, int64_t* indices) {
  __shared__ Chunk<kRoom> chunk;
  __shared__ uint32_t bins[kBins];
  const int64_t to = blockIdx.x / a.inner * a.k * a.inner + blockIdx.x % a.inner;
  const auto k = static_cast<uint32_t>(a.k);
  Key from = 0;
  for (uint32_t done = 0; done < k;) {
    const uint32_t found = next_chunk<kThreads>(source, from, min(k - done, kRoom), bins, chunk);
    const uint32_t size = min(found, k - done);
    if (size == 0) break;
    for (uint32_t i = threadIdx.x; i < size; i += kThreads) {
      const auto index = static_cast<uint32_t>(chunk.keys[i]);
      const int64_t at = to + static_cast<int64_t>(done + i) * a.inner;
      if (values) values[at] = line.value(index);
      if (indices) indices[at] = index;
    }
    done += size;
    from = chunk.keys[size - 1] + 1;
    __syncthreads();
  }
}

// A block for each line.
template <int kThreads, int kRoom, typename T>
__global__ void __launch_bounds__(kThreads, 1) top_k_lines(TopKArgs a, const T* x, T* values, int64_t* indices) {
  const Line<T> line(a, x, blockIdx.x);
  write_first<kThreads, kRoom>(a, line, WholeLine<T>{line, static_cast<uint32_t>(a.length)}, values, indices);
}

// The same for what is left of it; `room` keys a line.
template <int kThreads, int kRoom, typename T>
__global__ void __launch_bounds__(kThreads, 1) top_k_narrowed(TopKArgs a, const T* x, const Key* keys, uint32_t room,
                                                              const uint32_t* found, T* values, int64_t* indices) {
  const Keys left{keys + int64_t{blockIdx.x} * room, found[blockIdx.x]};
  write_first<kThreads, kRoom>(a, Line<T>(a, x, blockIdx.x), left, values, indices);
}

template <typename T>
struct Lines {
  TopKArgs args;
  const T* x;
  Key* to;
  uint32_t room;

  __device__ uint32_t count(uint32_t) const { return static_cast<uint32_t>(args.length); }
  __device__ Key key(uint32_t list, uint32_t i, bool) const {
    const Line<T> line(args, x, list);
    return line.key(i, line.value(i));
  }
  __device__ void put(uint32_t list, uint32_t i, Key key) const { to[int64_t{list} * room + i] = key; }
};

constexpr int64_t kLong = 4096;

bool narrows(const TopKArgs& a, NarrowArgs& n) { return narrow_args(a.outer * a.inner, a.length, a.length, a.k, n); }

template <typename T>
cudaError_t launch(const TopKArgs& a, const T* x, T* values, int64_t* indices, std::byte* workspace,
                   cudaStream_t stream) {
  const auto lines = static_cast<unsigned>(a.outer * a.inner);
  if (NarrowArgs n; narrows(a, n)) {
    auto* const keys = reinterpret_cast<Key*>(workspace);
    std::byte* const narrowing = workspace + int64_t{n.lists} * n.room * 8;
    const NarrowMemory m = narrow_memory(n, narrowing, reinterpret_cast<uint32_t*>(narrowing + narrow_bytes(n)));
    if (cudaError_t e = narrow(Lines<T>{a, x, keys, n.room}, n, m, stream); e != cudaSuccess) return e;
    top_k_narrowed<1024, 2048><<<lines, 1024, 0, stream>>>(a, x, keys, n.room, m.found, values, indices);
  } else if (a.length > kLong) {
    top_k_lines<1024, 2048><<<lines, 1024, 0, stream>>>(a, x, values, indices);
  } else if (a.length > 256) {
    top_k_lines<256, 1024><<<lines, 256, 0, stream>>>(a, x, values, indices);
  } else {
    top_k_lines<64, 256><<<lines, 64, 0, stream>>>(a, x, values, indices);
  }
  return cudaGetLastError();
}

}  // namespace

int64_t top_k_workspace(const TopKArgs& a) {
  NarrowArgs n;
  return narrows(a, n) ? int64_t{n.lists} * (int64_t{n.room} * 8 + 4) + narrow_bytes(n) : 0;
}

cudaError_t top_k(const TopKArgs& a, const void* x, void* values, int64_t* indices, std::byte* workspace,
                  cudaStream_t stream) {
  if (a.outer * a.inner == 0 || a.k == 0) return cudaSuccess;
  return a.integers ? launch(a, static_cast<const int*>(x), static_cast<int*>(values), indices, workspace, stream)
                    : launch(a, static_cast<const float*>(x), static_cast<float*>(values), indices, workspace, stream);
}

}  // namespace fovea::core::cuda
