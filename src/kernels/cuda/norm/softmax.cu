#include "kernels/cuda/norm/softmax.h"

#include <cuda_fp16.h>

#include <algorithm>

namespace fovea::core::cuda {
namespace {

// exp(x - largest) / sum of them. As in the reference the largest is no NaN, and -infinity where there is nothing else:
// the rest is arithmetic.
constexpr int kThreads = 256;

__device__ __forceinline__ float load(const float* p) { return __ldg(p); }
__device__ __forceinline__ float load(const __half* p) { return __half2float(__ldg(p)); }
__device__ __forceinline__ float lowest() { return __int_as_float(0xff800000); }

__device__ __forceinline__ float warp_max(float x) {
  for (int d = 16; d > 0; d >>= 1) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, d));
  return x;
}
__device__ __forceinline__ float warp_sum(float x) {
  for (int d = 16; d > 0; d >>= 1) x += __shfl_xor_sync(0xffffffffu, x, d);
  return x;
}

// Neighbouring elements: a warp for each row, which stays in registers.
template <typename T, int kEach>
__global__ void __launch_bounds__(kThreads) softmax_short_rows(const T* x, float* y, int64_t rows, int length) {
  const int64_t row = int64_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  const int lane = threadIdx.x % 32;
  x += row * length, y += row * length;
  float v[kEach], largest = lowest(), sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) v[i] = i * 32 + lane < length ? load(x + i * 32 + lane) : lowest();
#pragma unroll
  for (int i = 0; i < kEach; ++i) largest = fmaxf(largest, v[i]);
  largest = warp_max(largest);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    v[i] = expf(v[i] - largest);
    if (i * 32 + lane < length) sum += v[i];
  }
  const float scale = 1.0f / warp_sum(sum);
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    if (i * 32 + lane < length) y[i * 32 + lane] = v[i] * scale;
}

// Elements that lie `inner` apart: 32 neighbouring lines a block, kParts threads for each, which keep them in
// registers.
constexpr int kLines = 32, kParts = kThreads / kLines;
template <typename T, int kEach>
__global__ void __launch_bounds__(kThreads)
    softmax_short_columns(const T* x, float* y, int64_t lines, int64_t inner, int length) {
  __shared__ float parts[kParts][kLines];
  const int lane = threadIdx.x % kLines, part = threadIdx.x / kLines;
  const int64_t line = int64_t{blockIdx.x} * kLines + lane;
  const bool inside = line < lines;
  const int64_t start = inside ? line / inner * inner * length + line % inner : 0;
  float v[kEach], largest = lowest(), sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int at = i * kParts + part;
    v[i] = inside && at < length ? load(x + start + at * inner) : lowest();
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i) largest = fmaxf(largest, v[i]);
  parts[part][lane] = largest;
  __syncthreads();
#pragma unroll
  for (int p = 0; p < kParts; ++p) largest = fmaxf(largest, parts[p][lane]);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    v[i] = expf(v[i] - largest);
    if (i * kParts + part < length) sum += v[i];
  }
  parts[part][lane] = sum;
  __syncthreads();
  sum = 0;
#pragma unroll
  for (int p = 0; p < kParts; ++p) sum += parts[p][lane];
  const float scale = 1.0f / sum;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int at = i * kParts + part;
    if (inside && at < length) y[start + at * inner] = v[i] * scale;
  }
}

// Lines of any length, read three times: kAcross neighbouring lines a block (1 where elements are neighbours).
template <typename T, int kAcross>
__global__ void __launch_bounds__(kThreads)
    softmax_long(const T* x, float* y, int64_t lines, int64_t inner, int64_t length) {
  constexpr int kRest = kThreads / kAcross;
  __shared__ float parts[kThreads];
  const int lane = threadIdx.x % kAcross, part = threadIdx.x / kAcross;
  const int64_t line = int64_t{blockIdx.x} * kAcross + lane;
  const bool inside = line < lines;
  const int64_t start = inside ? line / inner * inner * length + line % inner : 0;
  const int64_t end = inside ? length : 0;
  float largest = lowest(), sum = 0;
  for (int64_t i = part; i < end; i += kRest) largest = fmaxf(largest, load(x + start + i * inner));
  parts[threadIdx.x] = largest;
  __syncthreads();
  for (int p = 0; p < kRest; ++p) largest = fmaxf(largest, parts[p * kAcross + lane]);
  __syncthreads();
  for (int64_t i = part; i < end; i += kRest) sum += expf(load(x + start + i * inner) - largest);
  parts[threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
  for (int p = 0; p < kRest; ++p) sum += parts[p * kAcross + lane];
  const float scale = 1.0f / sum;
  for (int64_t i = part; i < end; i += kRest)
    y[start + i * inner] = expf(load(x + start + i * inner) - largest) * scale;
}

unsigned blocks_of(int64_t lines, int64_t each) { return static_cast<unsigned>((lines + each - 1) / each); }

template <int kEach, typename T>
void rows_of(const T* x, float* y, int64_t rows, int64_t length, cudaStream_t stream) {
  const unsigned blocks = blocks_of(rows, kThreads / 32);
  softmax_short_rows<T, kEach><<<blocks, kThreads, 0, stream>>>(x, y, rows, static_cast<int>(length));
}

template <int kEach, typename T>
void columns_of(const T* x, float* y, int64_t lines, int64_t inner, int64_t length, cudaStream_t stream) {
  const unsigned blocks = blocks_of(lines, kLines);
  softmax_short_columns<T, kEach><<<blocks, kThreads, 0, stream>>>(x, y, lines, inner, static_cast<int>(length));
}

template <typename T>
void launch(const SoftmaxArgs& a, const T* x, float* y, cudaStream_t stream) {
  const int64_t lines = a.outer * a.inner, n = a.length;
  if (a.inner == 1) {
    if (n <= 32) rows_of<1>(x, y, lines, n, stream);
    else if (n <= 64) rows_of<2>(x, y, lines, n, stream);
    else if (n <= 96) rows_of<3>(x, y, lines, n, stream);
    else if (n <= 128) rows_of<4>(x, y, lines, n, stream);
    else if (n <= 256) rows_of<8>(x, y, lines, n, stream);
    else if (n <= 512) rows_of<16>(x, y, lines, n, stream);
    else if (n <= 1024) rows_of<32>(x, y, lines, n, stream);
    else softmax_long<T, 1><<<static_cast<unsigned>(lines), kThreads, 0, stream>>>(x, y, lines, a.inner, n);
  } else {
    if (n <= 32) columns_of<4>(x, y, lines, a.inner, n, stream);
    else if (n <= 96) columns_of<12>(x, y, lines, a.inner, n, stream);
    else if (n <= 256) columns_of<32>(x, y, lines, a.inner, n, stream);
    else softmax_long<T, 32><<<blocks_of(lines, 32), kThreads, 0, stream>>>(x, y, lines, a.inner, n);
  }
}

}  // namespace

cudaError_t softmax(const SoftmaxArgs& a, const void* x, float* y, cudaStream_t stream) {
  if (a.outer * a.length * a.inner == 0) return cudaSuccess;
  if (a.half) launch(a, static_cast<const __half*>(x), y, stream);
  else launch(a, static_cast<const float*>(x), y, stream);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
