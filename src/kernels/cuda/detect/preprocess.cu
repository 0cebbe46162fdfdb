#include "kernels/cuda/detect/preprocess.h"

#include <cuda_fp16.h>

namespace fovea::core::cuda {
namespace {

constexpr int kColumns = 32, kRows = 8;

template <typename T>
struct alignas(16) Eight {
  T lane[8];
};

__device__ __forceinline__ void store(float& to, float x) { to = x; }
__device__ __forceinline__ void store(__half& to, float x) { to = __float2half_rn(x); }

// One pixel of the network's input a thread. Products and sums are rounded one by one, as the reference does it.
template <typename T, bool kGray>
__global__ void __launch_bounds__(kColumns* kRows) preprocess_pixels(const __grid_constant__ PreprocessArguments a) {
  constexpr int kChannels = kGray ? 1 : 3;
  const int x = static_cast<int>(blockIdx.x) * kColumns + static_cast<int>(threadIdx.x),
            y = static_cast<int>(blockIdx.y) * kRows + static_cast<int>(threadIdx.y);
  if (x >= a.input_w || y >= a.input_h) return;
  const int px = x - a.pad_x, py = y - a.pad_y;
  float result[kChannels];
  if (px >= 0 && px < a.resized_w && py >= 0 && py < a.resized_h) {
    float sum[kChannels] = {};
    const int rows = a.down.count[py], columns = a.across.count[px];
    const float* row_weight = a.down.weight + static_cast<int64_t>(py) * a.down.width;
    const float* column_weight = a.across.weight + static_cast<int64_t>(px) * a.across.width;
    const uint8_t* line = a.picture + a.down.first[py] * a.row + a.across.first[px] * a.column;
    for (int r = 0; r < rows; ++r, line += a.row) {
      float part[kChannels] = {};
      const uint8_t* rgb = line;
      for (int k = 0; k < columns; ++k, rgb += a.column) {
        const int red = rgb[0], green = rgb[a.colour], blue = rgb[2 * a.colour];
        const float weight = column_weight[k];
        if constexpr (kGray) {
          const auto gray = static_cast<float>((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16);
          part[0] = __fadd_rn(part[0], __fmul_rn(gray, weight));
        } else {
          part[0] = __fadd_rn(part[0], __fmul_rn(static_cast<float>(a.red == 0 ? red : blue), weight));
          part[1] = __fadd_rn(part[1], __fmul_rn(static_cast<float>(green), weight));
          part[2] = __fadd_rn(part[2], __fmul_rn(static_cast<float>(a.red == 0 ? blue : red), weight));
        }
      }
#pragma unroll
      for (int c = 0; c < kChannels; ++c) sum[c] = __fadd_rn(sum[c], __fmul_rn(part[c], row_weight[r]));
    }
#pragma unroll
    for (int c = 0; c < kChannels; ++c)
      result[c] = __fdiv_rn(__fsub_rn(__fmul_rn(sum[c], a.scale), a.mean[c]), a.deviation[c]);
  } else {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) result[c] = a.padding[c];
  }
  T* out = static_cast<T*>(a.out);
  if (a.packed) {
    Eight<T> pixel;
#pragma unroll
    for (int c = 0; c < 8; ++c) store(pixel.lane[c], c < kChannels ? result[c < kChannels ? c : 0] : 0.f);
    *reinterpret_cast<Eight<T>*>(out + (static_cast<int64_t>(y) * a.input_w + x) * 8) = pixel;
  } else {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) store(out[c * a.channel_stride + y * a.y_stride + x * a.x_stride], result[c]);
  }
}

}  // namespace

cudaError_t preprocess(const PreprocessArguments& args, cudaStream_t stream) {
  const dim3 threads(kColumns, kRows),
      blocks((args.input_w + kColumns - 1) / kColumns, (args.input_h + kRows - 1) / kRows);
  if (args.input_w <= 0 || args.input_h <= 0) return cudaSuccess;
  const bool gray = args.channels == 1;
  if (args.half) {
    if (gray) preprocess_pixels<__half, true><<<blocks, threads, 0, stream>>>(args);
    else preprocess_pixels<__half, false><<<blocks, threads, 0, stream>>>(args);
  } else {
    if (gray) preprocess_pixels<float, true><<<blocks, threads, 0, stream>>>(args);
    else preprocess_pixels<float, false><<<blocks, threads, 0, stream>>>(args);
  }
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
