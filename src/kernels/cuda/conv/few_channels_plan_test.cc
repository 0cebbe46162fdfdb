// What the kernel of few_channels.h reads, where, on the host: a patch and packed weights, multiplied by hand as the
// matrix units would, give the convolution. No GPU is needed.
#include "kernels/cuda/conv/few_channels_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <set>

namespace fovea::core::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

FewChannelsArgs convolution(bool half, int c, int k, int r, int s, int stride_h, int stride_w, int p, int q) {
  FewChannelsArgs a;
  a.half = half, a.n = 1, a.c = c, a.k = k, a.r = r, a.s = s, a.stride_h = stride_h, a.stride_w = stride_w;
  a.p = a.out_h = p, a.q = a.out_w = q, a.h = (p - 1) * stride_h + r, a.w = (q - 1) * stride_w + s;
  group_channels(a);
  return a;
}

std::vector<float> whole_numbers(size_t count) {
  std::mt19937 rng(5);
  std::vector<float> values(count);
  for (float& v : values) v = static_cast<float>(static_cast<int>(rng() % 9) - 4);
  return values;
}

// Shared memory as elements of the factors' type; what nobody wrote is NaN. [rows][columns][channel], no padding.
std::vector<float> filled(const FewChannelsArgs& a, const std::vector<float>& picture) {
  const int element = a.half ? 2 : 4;
  std::vector<float> shared(static_cast<size_t>(a.places.end / element), kNan);
  auto put = [&](int patch, int row, int column, int from) {
    for (int c = 0; c < kFewChannels; ++c)
      shared[static_cast<size_t>((patch + pixel_place(a, row, column)) / element + c)] =
          c < a.c ? picture[static_cast<size_t>(from * a.c + c)] : 0;
  };
  for (int y = 0; y < a.rows; ++y)
    for (int x = 0; x < a.columns; ++x) {
      put(a.places.patch, y, x, y * a.columns + x);
      if (a.half && a.stride_w % 2 != 0 && x > 0) put(a.places.shifted, y, x - 1, y * a.columns + x);
    }
  return shared;
}

// The sum of a pixel and a block's channel, as the lanes of its column get it together.
float product(const FewChannelsArgs& a, const std::vector<float>& shared, const std::vector<float>& weights, int y,
              int x, int group, int eight, int column) {
  const int factors = a.half ? 2 : 1, element = a.half ? 2 : 4, window = window_place(a, y, x);
  EXPECT_EQ(window % 16, 0);
  float sum = 0;
  for (int step = 0; step < a.steps; ++step)
    for (int which = 0; which < 2; ++which)
      for (int t = 0; t < 4; ++t)
        for (int f = 0; f < factors; ++f) {
          const FewUnit unit = few_unit(a, 2 * step + which);
          const int64_t word = fragment_word(a, group, step, eight, column * 4 + t, which);
          const float w = weights[static_cast<size_t>(word * factors + f)];
          if (unit.taps >> (t / 2) & 1)
            sum += shared[static_cast<size_t>((window + unit.offset + t * 4) / element + f)] * w;
          else EXPECT_EQ(w, 0);
        }
  return sum;
}

void expect_convolution(FewChannelsArgs a) {
  ASSERT_TRUE(place_tiles(a, 227 << 10));
  const auto weights = whole_numbers(static_cast<size_t>(a.k * a.c * a.r * a.s));
  const auto picture = whole_numbers(static_cast<size_t>(a.rows * a.columns * a.c));
  const auto packed = packed_fragments(a, weights.data());
  const auto shared = filled(a, picture);
  std::set<int> seen;
  for (int group = 0; group < a.groups; ++group)
    for (int n = 0; n < a.eights * 8; ++n) {
      const int k = group * a.eights * 8 + few_channel(a.half, a.eights, n / 8, n % 8);
      EXPECT_TRUE(seen.insert(k).second) << "twice: channel " << k;
      for (int pixel : {0, a.tile_w - 1, a.tile_w * a.tile_h / 2, a.tile_w * a.tile_h - 1}) {
        const int y = pixel / a.tile_w, x = pixel % a.tile_w;
        float want = 0;
        for (int c = 0; c < a.c; ++c)
          for (int r = 0; r < a.r; ++r)
            for (int s = 0; s < a.s && k < a.k; ++s)
              want += picture[static_cast<size_t>(((y * a.stride_h + r) * a.columns + x * a.stride_w + s) * a.c + c)] *
                      weights[static_cast<size_t>(((k * a.c + c) * a.r + r) * a.s + s)];
        EXPECT_EQ(product(a, shared, packed, y, x, group, n / 8, n % 8), want)
            << "channel " << k << " at " << y << "," << x;
      }
    }
}

TEST(FewChannels, ProductsOfWhatIsPackedAreTheConvolution) {
  for (bool half : {true, false}) {
    expect_convolution(convolution(half, 3, 64, 7, 7, 2, 2, 150, 150));
    expect_convolution(convolution(half, 4, 65, 3, 3, 1, 1, 19, 23));
    expect_convolution(convolution(half, 1, 96, 5, 4, 3, 3, 7, 9));
    expect_convolution(convolution(half, 2, 13, 11, 12, 4, 1, 5, 31));
    expect_convolution(convolution(half, 3, 8, 1, 1, 1, 1, 1, 1));
  }
}

TEST(FewChannels, TilesCoverTheOutputAndFit) {
  for (int pool : {0, 2, 3})
    for (int size : {1, 2, 7, 38, 150, 257}) {
      FewChannelsArgs a = convolution(true, 3, 64, 7, 7, 2, 2, size, size + 3);
      if (pool) {
        a.pooled = true, a.pool_h = a.pool_w = pool, a.pool_stride_h = a.pool_stride_w = 2;
        a.out_h = (size + 1) / 2, a.out_w = (size + 4) / 2;
      }
      ASSERT_TRUE(place_tiles(a, 99 << 10));
      EXPECT_LE(a.tile_h * a.tile_w, kTilePixels);
      EXPECT_LE(a.places.end, 99 << 10);
      EXPECT_GE(a.tiles_y * a.part_h, a.out_h);
      EXPECT_GE(a.tiles_x * a.part_w, a.out_w);
      EXPECT_EQ(a.tile_h, (a.part_h - 1) * a.pool_stride_h + a.pool_h);
      EXPECT_GE(a.rows, (a.tile_h - 1) * a.stride_h + a.r);
    }
}

// Vectors of 16 bytes stay whole, and no two lie in one place.
template <bool kHalf, int kEights>
void expect_sums_apart() {
  constexpr int kPixels = 9, kBytes = sum_bytes(kHalf, kEights);
  std::set<int> places;
  for (int pixel = 0; pixel < kPixels; ++pixel)
    for (int byte = 0; byte < kBytes; byte += 16) {
      const int place = sum_place<kHalf, kEights>(pixel, byte);
      EXPECT_EQ(place % 16, 0);
      EXPECT_TRUE(place >= 0 && place + 16 <= kPixels * kBytes) << place;
      EXPECT_TRUE(places.insert(place).second) << place;
      EXPECT_EQ((sum_place<kHalf, kEights>(pixel, byte + 8)), place + 8);
    }
}
TEST(FewChannels, SumsOfPixelsLieApart) {
  expect_sums_apart<true, 2>(), expect_sums_apart<true, 4>(), expect_sums_apart<true, 8>();
  expect_sums_apart<false, 2>(), expect_sums_apart<false, 4>(), expect_sums_apart<false, 8>();
  // Four lanes write 64 bytes of a pixel, the next four those of the one beside it: banks are 128 bytes.
  EXPECT_NE((sum_place<true, 8>(0, 0) / 64) % 2, (sum_place<true, 8>(1, 0) / 64) % 2);
}

TEST(FewChannels, OlderGpusAreRefused) {
  EXPECT_EQ(few_channels_refuse(7, 5), "compute capability 7.5, less than 8.0");
  for (const auto& [major, minor] : {std::pair{8, 0}, {8, 6}, {9, 0}, {12, 0}})
    EXPECT_EQ(few_channels_refuse(major, minor), "");
}

TEST(FewChannels, WhatDoesNotFitHasNoTile) {
  FewChannelsArgs a = convolution(false, 3, 64, 60, 60, 1, 1, 20, 20);
  EXPECT_FALSE(place_tiles(a, 227 << 10));
}

}  // namespace
}  // namespace fovea::core::cuda
