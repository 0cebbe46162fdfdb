#include "kernels/cuda/pool/pool.h"

#include <cuda_fp16.h>

#include <cmath>

namespace fovea::core::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ float load(const float* p, int64_t i) { return p[i]; }
__device__ __forceinline__ float load(const __half* p, int64_t i) { return __half2float(p[i]); }
__device__ __forceinline__ void store(float* p, int64_t i, float v) { p[i] = v; }
__device__ __forceinline__ void store(__half* p, int64_t i, float v) { p[i] = __float2half_rn(v); }

// N elements of neighbouring channels, in one access.
template <typename T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack {
  T lane[N];
};

// Taps [first, last) of the window that lie in [0, size).
__device__ __forceinline__ void taps(int start, int size, int kernel, int dilation, int& first, int& last) {
  first = start < 0 ? (-start + dilation - 1) / dilation : 0;
  last = size > start ? (size - start + dilation - 1) / dilation : 0;
  last = min(last, kernel);
  first = min(first, last);
}

// N channels a thread (nhwc8), or one element (plain).
template <typename T, bool kMaximum, bool kNhwc>
__global__ void __launch_bounds__(kThreads) pool_kernel(PoolArgs a) {
  constexpr int N = kNhwc ? 8 : 1;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t count = static_cast<int64_t>(a.n) * a.p * a.q * (a.c / N);
  if (index >= count) return;
  int c, q, p, n;
  int64_t rest = index;
  if constexpr (kNhwc) {
    c = static_cast<int>(rest % (a.c / N)) * N, rest /= a.c / N;
    q = static_cast<int>(rest % a.q), rest /= a.q;
    p = static_cast<int>(rest % a.p), n = static_cast<int>(rest / a.p);
  } else {
    q = static_cast<int>(rest % a.q), rest /= a.q;
    p = static_cast<int>(rest % a.p), rest /= a.p;
    c = static_cast<int>(rest % a.c), n = static_cast<int>(rest / a.c);
  }
  const int y0 = p * a.stride_h - a.pad_top, x0 = q * a.stride_w - a.pad_left;
  int ky, ky_end, kx, kx_end;
  taps(y0, a.h, a.kernel_h, a.dilation_h, ky, ky_end);
  taps(x0, a.w, a.kernel_w, a.dilation_w, kx, kx_end);
  float value[N];
#pragma unroll
  for (int i = 0; i < N; ++i) value[i] = 0;
  bool any = false;
  const T* from = static_cast<const T*>(a.from);
  for (int i = ky; i < ky_end; ++i)
    for (int j = kx; j < kx_end; ++j) {
      const int64_t y = y0 + i * a.dilation_h, x = x0 + j * a.dilation_w;
      Pack<T, N> in;
      if constexpr (kNhwc) in = *reinterpret_cast<const Pack<T, N>*>(from + ((n * static_cast<int64_t>(a.h) + y) * a.w + x) * a.c + c);
      else in.lane[0] = from[((static_cast<int64_t>(n) * a.c + c) * a.h + y) * a.w + x];
#pragma unroll
      for (int l = 0; l < N; ++l) {
        const float v = load(in.lane, l);
        if constexpr (kMaximum) {
          if (!any || v > value[l] || (v != v && value[l] == value[l])) value[l] = v;  // NaN wins
        } else {
          value[l] += v;
        }
      }
      any = true;
    }
  if constexpr (kMaximum) {
    if (!any)
#pragma unroll
      for (int l = 0; l < N; ++l) value[l] = -INFINITY;
  } else {
    int fy, ly, fx, lx;
    taps(y0, a.h + (a.count_padding ? a.pad_bottom : 0), a.kernel_h, a.dilation_h, fy, ly);
    taps(x0, a.w + (a.count_padding ? a.pad_right : 0), a.kernel_w, a.dilation_w, fx, lx);
    if (a.count_padding) fy = 0, fx = 0;
    const float counted = static_cast<float>((ly - fy) * (lx - fx));
#pragma unroll
    for (int l = 0; l < N; ++l) value[l] /= counted;
  }
  Pack<T, N> out;
#pragma unroll
  for (int l = 0; l < N; ++l) store(out.lane, l, value[l]);
  *reinterpret_cast<Pack<T, N>*>(static_cast<T*>(a.to) + index * N) = out;
}

template <typename T>
void start(const PoolArgs& a, cudaStream_t stream) {
  const int64_t count = static_cast<int64_t>(a.n) * a.p * a.q * (a.nhwc8 ? a.c / 8 : a.c);
  const auto blocks = static_cast<unsigned>((count + kThreads - 1) / kThreads);
  if (a.maximum && a.nhwc8) pool_kernel<T, true, true><<<blocks, kThreads, 0, stream>>>(a);
  else if (a.maximum) pool_kernel<T, true, false><<<blocks, kThreads, 0, stream>>>(a);
  else if (a.nhwc8) pool_kernel<T, false, true><<<blocks, kThreads, 0, stream>>>(a);
  else pool_kernel<T, false, false><<<blocks, kThreads, 0, stream>>>(a);
}

}  // namespace

cudaError_t pool(const PoolArgs& args, cudaStream_t stream) {
  if (args.half) start<__half>(args, stream);
  else start<float>(args, stream);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
