#include "kernels/cuda/reduce/top_k.h"

#include "kernels/cuda/device/select.cuh"

namespace fovea::core::cuda {
namespace {

// Elements of a line: their order, the first lowest, above their indices.
struct Line {
  static constexpr Key kLast = ~Key(0);
  const float* x;
  int64_t stride;
  uint32_t count;
  bool largest;

  __device__ Key key(uint32_t i, float value) const {
    const uint32_t order = value == value ? ordered(value) : 0xffffffffu;  // NaN is larger than every number
    return Key(largest ? ~order : order) << 32 | i;
  }

  template <int kThreads, typename F>
  __device__ void each(Key first, Key last, bool, const F& f) const {
    constexpr uint32_t kBatch = 4;  // loads in flight
    for (uint64_t at = threadIdx.x; at < count; at += kBatch * kThreads) {
      float values[kBatch];
#pragma unroll
      for (uint32_t j = 0; j < kBatch; ++j) {
        const uint64_t i = at + j * kThreads;
        values[j] = i < count ? __ldg(x + static_cast<int64_t>(i) * stride) : 0.0f;
      }
#pragma unroll
      for (uint32_t j = 0; j < kBatch; ++j) {
        const uint64_t i = at + j * kThreads;
        if (i >= count) continue;
        const Key k = key(static_cast<uint32_t>(i), values[j]);
        if (k >= first && k <= last) f(k);
      }
    }
  }
};

// A block for each line.
template <int kThreads, int kRoom>
__global__ void __launch_bounds__(kThreads, 1)
    top_k_lines(TopKArgs a, const float* x, float* values, int64_t* indices) {
  __shared__ Chunk<kRoom> chunk;
  __shared__ uint32_t bins[kBins];
  const int64_t outer = blockIdx.x / a.inner, column = blockIdx.x % a.inner;
  const Line line{x + outer * a.length * a.inner + column, a.inner, static_cast<uint32_t>(a.length), a.largest};
  const int64_t to = outer * a.k * a.inner + column;
  const auto k = static_cast<uint32_t>(a.k);
  Key from = 0;
  for (uint32_t done = 0; done < k;) {
    const uint32_t found = next_chunk<kThreads>(line, from, min(k - done, kRoom), bins, chunk);
    const uint32_t size = min(found, k - done);
    if (size == 0) break;
    for (uint32_t i = threadIdx.x; i < size; i += kThreads) {
      const auto index = static_cast<uint32_t>(chunk.keys[i]);
      const int64_t at = to + static_cast<int64_t>(done + i) * a.inner;
      if (values) values[at] = __ldg(line.x + static_cast<int64_t>(index) * line.stride);
      if (indices) indices[at] = index;
    }
    done += size;
    from = chunk.keys[size - 1] + 1;
    __syncthreads();
  }
}

constexpr int64_t kLong = 4096;

}  // namespace

cudaError_t top_k(const TopKArgs& a, const float* x, float* values, int64_t* indices, cudaStream_t stream) {
  const auto lines = static_cast<unsigned>(a.outer * a.inner);
  if (lines == 0 || a.k == 0) return cudaSuccess;
  if (a.length > kLong) top_k_lines<1024, 2048><<<lines, 1024, 0, stream>>>(a, x, values, indices);
  else if (a.length > 256) top_k_lines<256, 1024><<<lines, 256, 0, stream>>>(a, x, values, indices);
  else top_k_lines<64, 256><<<lines, 64, 0, stream>>>(a, x, values, indices);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
