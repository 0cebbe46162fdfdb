#include "kernels/cuda/conv/few_channels_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace fovea::core::cuda {
namespace {

int ceil_div(int a, int b) { return (a + b - 1) / b; }

// How many pixels of the convolution `part` pixels of the output look at.
int looked_at(int part, int pool, int stride) { return (part - 1) * stride + pool; }

// Parts of equal size are as many, and look at less.
int evened(int size, int part) { return ceil_div(size, ceil_div(size, part)); }

// The patch of a tile. Lines are as far apart as makes the first window of a tile's line follow on the last one of the
// line before it, in terms of banks, if few pixels suffice for that.
void place_patch(FewChannelsArgs& a) {
  a.rows = (a.tile_h - 1) * a.stride_h + a.r;
  a.columns = (a.tile_w - 1) * a.stride_w + units_of_row(a) * taps_of_unit(a);
  a.phases = units_apart(a);
  const int units = ceil_div(a.columns, taps_of_unit(a)), least = ceil_div(units, a.phases);
  const int apart = a.half && a.stride_w % 2 != 0 ? a.stride_w * 8 : 16;  // windows of a line, in bytes
  auto place = [&](int slots) { a.slots = slots, a.pitch = slots * a.phases * taps_of_unit(a); };
  for (int slots = least; slots < least + 8; ++slots) {
    place(slots);
    if ((a.pitch * a.stride_h * pixel_bytes(a) - a.tile_w * apart) % 128 == 0) return;
  }
  place(least);
}

void place_tile(FewChannelsArgs& a, int part_h, int part_w) {
  a.part_h = part_h, a.part_w = part_w;
  a.tile_h = looked_at(part_h, a.pool_h, a.pool_stride_h), a.tile_w = looked_at(part_w, a.pool_w, a.pool_stride_w);
  a.tiles_y = ceil_div(a.out_h, part_h), a.tiles_x = ceil_div(a.out_w, part_w);
  place_patch(a);
}

// In clocks of a multiprocessor, roughly: a step of a warp takes 3 for an eight of channels (6 in TF32), a pixel of the
// patch 2 and a half, whatever else there is 400.
double cost(const FewChannelsArgs& a) {
  const double products = static_cast<double>(kFewThreads / 32) * steps_of(a) * a.eights * (a.half ? 3 : 6);
  const double patch = 2.5 * a.rows * a.columns;
  return static_cast<double>(a.tiles_y) * a.tiles_x * (products + patch + 400);
}

}  // namespace

std::string few_channels_refuse(int major, int minor) {
  return major < 8 ? fmt::format("compute capability {}.{}, less than 8.0", major, minor) : "";
}

void group_channels(FewChannelsArgs& a) {
  int least = std::numeric_limits<int>::max();
  for (int eights : {8, 4, 2}) {
    const int groups = ceil_div(a.k, eights * 8), work = groups * (eights + 2);  // the 2: reading the picture again
    if (work < least) least = work, a.eights = eights, a.groups = groups;
  }
}

bool place_tiles(FewChannelsArgs& a, int most_shared) {
  constexpr int kReserved = 1024;  // of a block's shared memory, by the system
  double least = std::numeric_limits<double>::infinity();
  a.steps = steps_of(a), a.stored = ceil_div(a.k, 8) * 8;
  FewChannelsArgs best = a;
  for (int wide = std::min(a.out_w, kTilePixels); wide >= 1; --wide) {
    if (wide != evened(a.out_w, wide)) continue;
    const int tile_w = looked_at(wide, a.pool_w, a.pool_stride_w);
    for (int high = std::min(a.out_h, kTilePixels / tile_w); high >= 1; --high) {
      if (high != evened(a.out_h, high) || looked_at(high, a.pool_h, a.pool_stride_h) * tile_w > kTilePixels) continue;
      place_tile(a, high, wide);
      a.places = places_of(a);
      const int bytes = a.places.end;
      if (bytes > most_shared) continue;
      const bool alone = 2 * (bytes + kReserved) > most_shared + kReserved;  // on its multiprocessor
      if (const double c = cost(a) * (alone ? 1.5 : 1); c < least) least = c, best = a;
    }
  }
  if (least == std::numeric_limits<double>::infinity()) return false;
  a = best;
  a.next_row = kFewThreads / a.columns, a.next_column = kFewThreads % a.columns;
  a.by_columns = Divisor(a.columns), a.by_tile_w = Divisor(a.tile_w), a.by_part_w = Divisor(a.part_w);
  a.by_tiles_x = Divisor(a.tiles_x), a.by_tiles_y = Divisor(a.tiles_y);
  return true;
}

std::vector<float> packed_fragments(const FewChannelsArgs& a, const float* weights) {
  const int steps = steps_of(a), factors = a.half ? 2 : 1;  // in a word
  std::vector<float> packed(static_cast<size_t>(fragment_word(a, a.groups, 0, 0, 0, 0) * factors), 0.0f);
  for (int group = 0; group < a.groups; ++group)
    for (int step = 0; step < steps; ++step)
      for (int eight = 0; eight < a.eights; ++eight)
        for (int lane = 0; lane < 32; ++lane)
          for (int i = 0; i < 2 * factors; ++i) {
            const int unit = 2 * step + i / factors, inside = lane % 4 * factors + i % factors;  // of a unit's factors
            const int row = unit / units_of_row(a);
            const int tap = unit % units_of_row(a) * taps_of_unit(a) + inside / kFewChannels;
            const int channel = inside % kFewChannels;
            const int k = (group * a.eights) * 8 + few_channel(a.half, a.eights, eight, lane / 4);
            if (row >= a.r || tap >= a.s || channel >= a.c || k >= a.k) continue;
            const int64_t at = fragment_word(a, group, step, eight, lane, i / factors) * factors + i % factors;
            packed[static_cast<size_t>(at)] =
                weights[((static_cast<int64_t>(k) * a.c + channel) * a.r + row) * a.s + tap];
          }
  return packed;
}

}  // namespace fovea::core::cuda
