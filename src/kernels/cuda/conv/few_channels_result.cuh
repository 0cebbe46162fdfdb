// What becomes of the sums of few_channels.h: activation, pool, NHWC8.
#pragma once

#include "kernels/cuda/conv/few_channels_tile.cuh"

namespace fovea::core::cuda {

// ---- activation

// Within a few ulp, which rounding to float16 or the products in TF32 hide; the exact division is a call.
__device__ __forceinline__ float sigmoid(float v) { return __fdividef(1.0f, 1.0f + __expf(-v)); }
__device__ __forceinline__ float hyperbolic_tangent(float v) {
  return 1.0f - __fdividef(2.0f, __expf(2.0f * v) + 1.0f);
}

template <int N>
__device__ __forceinline__ void activate(const FewChannelsArgs& a, float (&values)[N]) {
  const float low = a.low, high = a.high;
  auto each = [&](auto&& function) {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = function(values[i]);
  };
  switch (a.activate) {
    case Activate::kNone: break;
    case Activate::kClip:
      each([=](float v) { return larger(v, low); });
      if (high < INFINITY) each([=](float v) { return smaller(v, high); });
      break;
    case Activate::kLeakyRelu: each([=](float v) { return v < 0 ? low * v : v; }); break;
    case Activate::kSigmoid: each([](float v) { return sigmoid(v); }); break;
    case Activate::kTanh: each([](float v) { return hyperbolic_tangent(v); }); break;
    case Activate::kSwish: each([=](float v) { return v * sigmoid(low * v); }); break;
    case Activate::kHardSwish:
      each([](float v) {
        const float s = v * (1.0f / 6.0f) + 0.5f;
        return v * (s < 0 ? 0.0f : s > 1 ? 1.0f : s);
      });
      break;
  }
}

// ---- results

// Bounds that are halves, on halves.
template <int N>
__device__ __forceinline__ void clip(const FewChannelsArgs& a, Run<__half, N>& run) {
  auto* words = reinterpret_cast<uint32_t*>(&run);
  const __half2 low = __float2half2_rn(a.low), high = __float2half2_rn(a.high);
#pragma unroll
  for (int i = 0; i < N / 2; ++i) {
    words[i] = larger_halves(words[i], *reinterpret_cast<const uint32_t*>(&low));
    if (a.high < INFINITY) words[i] = smaller_halves(words[i], *reinterpret_cast<const uint32_t*>(&high));
  }
}
template <int N>
__device__ __forceinline__ void clip(const FewChannelsArgs&, Run<float, N>&) {}

// The activated sums of pixel 16 * m + 8 * half + lane / 4, as vectors of neighbouring channels, to wherever
// `to(channel)` says, null: nowhere. What is no channel is zero. A clip of halves before a pool is left to the pool.
template <typename Out, int kEights, bool kPooled, typename To>
__device__ __forceinline__ void store(const FewChannelsArgs& a, int group, const float* bias,
                                      const float (&sums)[kEights][4], int half, To&& to) {
  constexpr int kJoin = eights_of_vector(sizeof(Out) == 2, kEights), kVector = 2 * kJoin;
#pragma unroll
  for (int vector = 0; vector < kEights / kJoin; ++vector) {
    const int inner = vector * 8 * kJoin + static_cast<int>(threadIdx.x) % 4 * kVector;
    const int channel = group * kEights * 8 + inner;
    float v[kVector];
#pragma unroll
    for (int i = 0; i < kVector; i += 4) {
      const float4 added = *reinterpret_cast<const float4*>(bias + inner + i);
      const float(&first)[4] = sums[vector * kJoin + i / 2], (&second)[4] = sums[vector * kJoin + i / 2 + 1];
      v[i] = first[half * 2] + added.x, v[i + 1] = first[half * 2 + 1] + added.y;
      v[i + 2] = second[half * 2] + added.z, v[i + 3] = second[half * 2 + 1] + added.w;
    }
    if (!a.clip_halves) activate(a, v);
    if (a.k != a.stored)
#pragma unroll
      for (int i = 0; i < kVector; ++i) v[i] = channel + i < a.k ? v[i] : 0.0f;
    Run<Out, kVector> run;
#pragma unroll
    for (int i = 0; i < kVector; ++i) assign(run.lane[i], v[i]);
    if (a.clip_halves && !kPooled) clip(a, run);
    if (Out* place = to(inner, channel)) *reinterpret_cast<Run<Out, kVector>*>(place) = run;
  }
}

// The largest of each window of the tile's sums, NaN if it has one; eight channels a thread.
template <typename Out, int kEights>
__device__ __forceinline__ void pool_tile(const FewChannelsArgs& a, const Tile& t, int group, const char* sums) {
  constexpr int kVector = 16 / sizeof(Out), kVectors = kEights * 8 / kVector;
  for (int i = static_cast<int>(threadIdx.x); i < a.part_h * a.part_w * kVectors; i += kFewThreads) {
    const int pixel = i / kVectors, inner = i % kVectors * kVector, channel = group * kEights * 8 + inner;
    const int y = static_cast<int>(a.by_part_w.quotient(static_cast<uint32_t>(pixel))), x = pixel - y * a.part_w;
    const int out_y = t.part_y + y, out_x = t.part_x + x;
    if (out_y >= a.out_h || out_x >= a.out_w || channel >= a.stored) continue;
    // Of the window, what lies on the convolution's result.
    const int first_y = y * a.pool_stride_h, first_x = x * a.pool_stride_w;
    const int top = max(first_y, -t.y), bottom = min(first_y + a.pool_h, a.p - t.y);
    const int left = max(first_x, -t.x), right = min(first_x + a.pool_w, a.q - t.x);
    const uint32_t least = sizeof(Out) == 2 ? 0xfc00fc00u : 0xff800000u;  // -infinity
    uint4 largest = {least, least, least, least};
    const int byte = inner * static_cast<int>(sizeof(Out));
    for (int cy = top; cy < bottom; ++cy)
      for (int at = cy * a.tile_w + left; at < cy * a.tile_w + right; ++at)
        take_larger<Out>(largest,
                         *reinterpret_cast<const uint4*>(sums + sum_place<sizeof(Out) == 2, kEights>(at, byte)));
    auto best = *reinterpret_cast<Run<Out, kVector>*>(&largest);
    if (a.clip_halves && top < bottom && left < right) clip(a, best);  // a window of padding alone stays -infinity
    if (a.k != a.stored)
#pragma unroll
      for (int l = 0; l < kVector; ++l)
        if (channel + l >= a.k) assign(best.lane[l], 0.0f);
    Out* to = static_cast<Out*>(a.to) + ((static_cast<int64_t>(t.n) * a.out_h + out_y) * a.out_w + out_x) * a.stored +
              channel;
    *reinterpret_cast<Run<Out, kVector>*>(to) = best;
  }
}

}  // namespace fovea::core::cuda
