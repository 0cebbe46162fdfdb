#include "kernels/cuda/layout/reformat.h"

#include <cuda_fp16.h>

#include <algorithm>
#include <cstdlib>
#include <type_traits>

#include "kernels/cuda/device/divide.cuh"

namespace fovea::core::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostIndices = int64_t{1} << 31;  // what Divisor can take apart

template <typename To, typename From>
__device__ __forceinline__ To converted(From x) {
  if constexpr (std::is_same_v<To, From>) return x;
  else if constexpr (std::is_same_v<To, __half>) return __float2half_rn(x);
  else return __half2float(x);
}

template <typename T>
struct alignas(8 * sizeof(T) < 16 ? 8 * sizeof(T) : 16) Eight {
  T lane[8];
};

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- plain to plain

struct Loop {
  int64_t count, from, to;  // strides in elements
};

// The loops of a copy, outermost first: without those of one turn, neighbours joined that are one run on both sides.
struct Loops {
  Loop loop[kCopyRank];
  int count = 0;

  void add(const Loop& l) {
    if (l.count == 1) return;
    if (count > 0) {
      Loop& outer = loop[count - 1];
      if (outer.from == l.from * l.count && outer.to == l.to * l.count) {
        outer = {outer.count * l.count, l.from, l.to};
        return;
      }
    }
    loop[count++] = l;
  }
  int64_t indices() const {
    int64_t n = 1;
    for (int i = 0; i < count; ++i) n *= loop[i].count;
    return n;
  }
};

struct Walk {
  int rank = 0;  // of the loops taken apart, outermost first
  Divisor size[kCopyRank];
  int64_t from[kCopyRank], to[kCopyRank];

  void add(const Loop& l) {
    size[rank] = Divisor(l.count);
    from[rank] = l.from, to[rank] = l.to;
    ++rank;
  }
  __device__ __forceinline__ void offsets(uint32_t index, int64_t& f, int64_t& t) const {
#pragma unroll
    for (int d = kCopyRank - 1; d >= 0; --d) {
      if (d >= rank) continue;
      const auto i = static_cast<int64_t>(size[d].split(index));
      f += i * from[d], t += i * to[d];
    }
  }
};

template <typename From, typename To>
__global__ void __launch_bounds__(kThreads) copy_elements(const From* from, To* to, Walk walk, uint32_t count) {
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= count) return;
  int64_t f = 0, t = 0;
  walk.offsets(i, f, t);
  to[t] = converted<To>(from[f]);
}

constexpr int kTile = 32;

// The loop `across` is consecutive in `to`, `down` in `from`: both sides are used in whole lines.
template <typename From, typename To>
__global__ void __launch_bounds__(kThreads) transpose_tiles(const From* from, To* to, Walk walk, Loop down, Loop across,
                                                            Divisor tiles_across, Divisor tiles_down) {
  __shared__ To tile[kTile][kTile + 1];
  uint32_t block = blockIdx.x;
  const auto across_begin = static_cast<int64_t>(tiles_across.split(block)) * kTile,
             down_begin = static_cast<int64_t>(tiles_down.split(block)) * kTile;
  int64_t f = 0, t = 0;
  walk.offsets(block, f, t);
  const int lane = threadIdx.x % kTile, row = threadIdx.x / kTile;
  for (int r = row; r < kTile; r += kThreads / kTile) {
    const int64_t a = across_begin + r, d = down_begin + lane;
    if (a < across.count && d < down.count) tile[r][lane] = converted<To>(from[f + a * across.from + d * down.from]);
  }
  __syncthreads();
  for (int r = row; r < kTile; r += kThreads / kTile) {
    const int64_t a = across_begin + lane, d = down_begin + r;
    if (a < across.count && d < down.count) to[t + a * across.to + d * down.to] = tile[lane][r];
  }
}

// A run of elements whose type changes; both sides aligned.
template <typename From, typename To>
__global__ void __launch_bounds__(kThreads) convert_run(const From* from, To* to, int64_t count) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * 8;
  if (i + 8 <= count) {
    const auto x = *reinterpret_cast<const Eight<From>*>(from + i);
    Eight<To> y;
#pragma unroll
    for (int k = 0; k < 8; ++k) y.lane[k] = converted<To>(x.lane[k]);
    *reinterpret_cast<Eight<To>*>(to + i) = y;
  } else {
    for (int64_t k = i; k < count; ++k) to[k] = converted<To>(from[k]);
  }
}

template <typename T>
bool aligned(const T* p, size_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

template <typename From, typename To>
cudaError_t copy_loops(const From* from, To* to, const Loops& loops, cudaStream_t stream) {
  if (loops.indices() >= kMostIndices) {
    // Halves of the largest loop.
    int largest = 0;
    for (int i = 1; i < loops.count; ++i)
      if (loops.loop[i].count > loops.loop[largest].count) largest = i;
    Loops first = loops, second = loops;
    const Loop& l = loops.loop[largest];
    first.loop[largest].count = l.count / 2;
    second.loop[largest].count = l.count - l.count / 2;
    const cudaError_t error = copy_loops(from, to, first, stream);
    if (error != cudaSuccess) return error;
    return copy_loops(from + l.count / 2 * l.from, to + l.count / 2 * l.to, second, stream);
  }
  if constexpr (!std::is_same_v<From, To>) {
    if (loops.count == 1 && loops.loop[0].from == 1 && loops.loop[0].to == 1 && aligned(from, alignof(Eight<From>)) &&
        aligned(to, alignof(Eight<To>))) {
      const int64_t count = loops.loop[0].count;
      convert_run<<<static_cast<unsigned>(ceil_div(count, 8 * kThreads)), kThreads, 0, stream>>>(from, to, count);
      return cudaGetLastError();
    }
  }
  Walk walk;
  const int last = loops.count - 1;
  int partner = -1;
  if (last > 0 && loops.loop[last].to == 1 && loops.loop[last].from != 1 && loops.loop[last].from != 0)
    for (int i = 0; i < last; ++i)
      if (loops.loop[i].from == 1) partner = i;
  constexpr int64_t kWorthATile = 8;  // narrower ones would leave most of a tile empty
  if (partner >= 0 && std::min(loops.loop[last].count, loops.loop[partner].count) >= kWorthATile && sizeof(To) <= 8) {
    const Loop &down = loops.loop[partner], &across = loops.loop[last];
    int64_t blocks = 1;
    for (int i = 0; i < last; ++i) {
      if (i == partner) continue;
      walk.add(loops.loop[i]);
      blocks *= loops.loop[i].count;
    }
    const int64_t tiles_across = ceil_div(across.count, kTile), tiles_down = ceil_div(down.count, kTile);
    blocks *= tiles_across * tiles_down;
    transpose_tiles<<<static_cast<unsigned>(blocks), kThreads, 0, stream>>>(from, to, walk, down, across,
                                                                            Divisor(tiles_across), Divisor(tiles_down));
    return cudaGetLastError();
  }
  for (int i = 0; i < loops.count; ++i) walk.add(loops.loop[i]);
  const int64_t count = loops.indices();
  copy_elements<<<static_cast<unsigned>(ceil_div(count, kThreads)), kThreads, 0, stream>>>(
      from, to, walk, static_cast<uint32_t>(count));
  return cudaGetLastError();
}

// Calls f with an element of this many bytes.
template <typename F>
cudaError_t with_unit(int64_t bytes, F f) {
  switch (bytes) {
    case 1: return f(uint8_t{});
    case 2: return f(uint16_t{});
    case 4: return f(uint32_t{});
    case 8: return f(uint64_t{});
    case 16: return f(uint4{});
    default: return cudaErrorNotSupported;
  }
}

// Does the innermost loop copy neighbours to neighbours?
bool has_runs(const Loops& loops) {
  return loops.count == 0 || (loops.loop[loops.count - 1].from == 1 && loops.loop[loops.count - 1].to == 1);
}

// The widest unit, in bytes, that runs, strides and addresses are multiples of.
int64_t widest_unit(const void* from, const void* to, const Loops& loops, int64_t bytes) {
  const int64_t run = bytes * (loops.count == 0 ? 1 : loops.loop[loops.count - 1].count);
  uint64_t all = static_cast<uint64_t>(run) | reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to) | 16;
  for (int i = 0; i + 1 < loops.count; ++i)
    all |= static_cast<uint64_t>(loops.loop[i].from * bytes) | static_cast<uint64_t>(loops.loop[i].to * bytes);
  return static_cast<int64_t>(all & (~all + 1));  // the lowest bit
}

// The same loops in units that are `factor` elements.
Loops in_units(Loops loops, int64_t factor) {
  if (loops.count == 0 || factor <= 1) return loops;
  for (int i = 0; i + 1 < loops.count; ++i) loops.loop[i].from /= factor, loops.loop[i].to /= factor;
  loops.loop[loops.count - 1].count /= factor;
  return loops;
}

// Elements whose bits are kept: where both sides have runs, as few and as wide ones as alignment allows.
cudaError_t copy_raw(const void* from, void* to, Loops loops, int64_t bytes, cudaStream_t stream) {
  if (has_runs(loops)) {
    if (const int64_t unit = widest_unit(from, to, loops, bytes); unit > bytes) {
      loops = in_units(loops, unit / bytes);
      bytes = unit;
    }
  }
  return with_unit(bytes, [&](auto element) {
    using U = decltype(element);
    return copy_loops(static_cast<const U*>(from), static_cast<U*>(to), loops, stream);
  });
}

// ---- rows of several tensors

constexpr int kMostParts = 16;

struct Rows {
  const void* from[kMostParts];
  void* to[kMostParts];
  int64_t from_pitch[kMostParts], to_pitch[kMostParts];  // in units
  Divisor length[kMostParts];
  uint32_t count[kMostParts];  // units of all rows
  uint32_t first_block[kMostParts];
  int parts;
};

template <typename U>
__global__ void __launch_bounds__(kThreads) copy_rows(const __grid_constant__ Rows rows) {
  int part = 0;
  while (part + 1 < rows.parts && blockIdx.x >= rows.first_block[part + 1]) ++part;
  const uint32_t i = (blockIdx.x - rows.first_block[part]) * kThreads + threadIdx.x;
  if (i >= rows.count[part]) return;
  uint32_t row = i;
  const uint32_t at = rows.length[part].split(row);
  static_cast<U*>(rows.to[part])[row * rows.to_pitch[part] + at] =
      static_cast<const U*>(rows.from[part])[row * rows.from_pitch[part] + at];
}

// ---- plain and NHWC8

// Channels of a pixel padded to `padded`; the plain side has a stride for each dimension.
struct Picture {
  int64_t channels, padded, pixels;
  int64_t strides[4];
  Divisor width;
  Divisor channel_tiles, pixel_tiles;
};

// A tile is kTileElements: many channels of few pixels, or few channels of many pixels.
constexpr int kTileElements = 8 * kThreads;

template <typename From, typename To, int kChannels>
__global__ void __launch_bounds__(kThreads) plain_to_nhwc8(const From* from, To* to, Picture p) {
  constexpr int kPixels = kTileElements / kChannels, kBlocks = kChannels / 8;
  __shared__ To tile[kChannels][kPixels + 1];
  uint32_t block = blockIdx.x;
  const auto c0 = static_cast<int64_t>(p.channel_tiles.split(block)) * kChannels;
  const uint32_t pixel0 = p.pixel_tiles.split(block) * kPixels;
  const auto n = static_cast<int64_t>(block);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const int i = static_cast<int>(threadIdx.x) + k * kThreads, c = i / kPixels, x = i % kPixels;
    uint32_t row = pixel0 + x;
    To value{};  // zero
    if (row < p.pixels && c0 + c < p.channels) {
      const auto column = static_cast<int64_t>(p.width.split(row));
      value = converted<To>(from[n * p.strides[0] + (c0 + c) * p.strides[1] + static_cast<int64_t>(row) * p.strides[2] +
                                 column * p.strides[3]]);
    }
    tile[c][x] = value;
  }
  __syncthreads();
  const int b = static_cast<int>(threadIdx.x) % kBlocks, x = static_cast<int>(threadIdx.x) / kBlocks;
  if (pixel0 + x >= p.pixels || c0 + b * 8 >= p.padded) return;
  Eight<To> y;
#pragma unroll
  for (int k = 0; k < 8; ++k) y.lane[k] = tile[b * 8 + k][x];
  *reinterpret_cast<Eight<To>*>(to + (n * p.pixels + pixel0 + x) * p.padded + c0 + b * 8) = y;
}

template <typename From, typename To, int kChannels>
__global__ void __launch_bounds__(kThreads) nhwc8_to_plain(const From* from, To* to, Picture p) {
  constexpr int kPixels = kTileElements / kChannels, kBlocks = kChannels / 8;
  __shared__ To tile[kChannels][kPixels + 1];
  uint32_t block = blockIdx.x;
  const auto c0 = static_cast<int64_t>(p.channel_tiles.split(block)) * kChannels;
  const uint32_t pixel0 = p.pixel_tiles.split(block) * kPixels;
  const auto n = static_cast<int64_t>(block);
  {
    const int b = static_cast<int>(threadIdx.x) % kBlocks, x = static_cast<int>(threadIdx.x) / kBlocks;
    if (pixel0 + x < p.pixels && c0 + b * 8 < p.padded) {
      const auto y = *reinterpret_cast<const Eight<From>*>(from + (n * p.pixels + pixel0 + x) * p.padded + c0 + b * 8);
#pragma unroll
      for (int k = 0; k < 8; ++k) tile[b * 8 + k][x] = converted<To>(y.lane[k]);
    }
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const int i = static_cast<int>(threadIdx.x) + k * kThreads, c = i / kPixels, x = i % kPixels;
    uint32_t row = pixel0 + x;
    if (row >= p.pixels || c0 + c >= p.channels) continue;
    const auto column = static_cast<int64_t>(p.width.split(row));
    to[n * p.strides[0] + (c0 + c) * p.strides[1] + static_cast<int64_t>(row) * p.strides[2] + column * p.strides[3]] =
        tile[c][x];
  }
}

// Where the plain side has its channels together, or hardly any pixels: a thread for eight channels of a pixel.
template <typename From, typename To, bool kToPlain>
__global__ void __launch_bounds__(kThreads)
    pixel_by_pixel(const From* from, To* to, Picture p, Divisor blocks, uint32_t count) {
  uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= count) return;
  const auto packed = static_cast<int64_t>(i) * 8;
  const auto c0 = static_cast<int64_t>(blocks.split(i)) * 8;
  uint32_t n = p.pixel_tiles.quotient(i), row = i - n * p.pixel_tiles.divisor;
  const auto column = static_cast<int64_t>(p.width.split(row));
  const int64_t plain =
      n * p.strides[0] + c0 * p.strides[1] + static_cast<int64_t>(row) * p.strides[2] + column * p.strides[3];
  if constexpr (kToPlain) {
    const auto x = *reinterpret_cast<const Eight<From>*>(from + packed);
#pragma unroll
    for (int k = 0; k < 8; ++k)
      if (c0 + k < p.channels) to[plain + k * p.strides[1]] = converted<To>(x.lane[k]);
  } else {
    Eight<To> y;
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      y.lane[k] = To{};
      if (c0 + k < p.channels) y.lane[k] = converted<To>(from[plain + k * p.strides[1]]);
    }
    *reinterpret_cast<Eight<To>*>(to + packed) = y;
  }
}

template <typename From, typename To, int kChannels>
cudaError_t by_tiles(const From* from, To* to, Picture p, int64_t batch, bool to_plain, cudaStream_t stream) {
  const int64_t across = ceil_div(p.padded, kChannels), down = ceil_div(p.pixels, kTileElements / kChannels);
  if (across * down * batch >= kMostIndices) return cudaErrorNotSupported;
  p.channel_tiles = Divisor(across), p.pixel_tiles = Divisor(down);
  const auto blocks = static_cast<unsigned>(across * down * batch);
  if (to_plain) nhwc8_to_plain<From, To, kChannels><<<blocks, kThreads, 0, stream>>>(from, to, p);
  else plain_to_nhwc8<From, To, kChannels><<<blocks, kThreads, 0, stream>>>(from, to, p);
  return cudaGetLastError();
}

template <typename From, typename To>
cudaError_t change_layout(const ReformatArgs& args, cudaStream_t stream) {
  const bool to_plain = args.to_layout == CopyLayout::kPlain;
  const auto* from = static_cast<const From*>(args.from);
  auto* to = static_cast<To*>(args.to);
  if (!(to_plain ? aligned(from, alignof(Eight<From>)) : aligned(to, alignof(Eight<To>)))) return cudaErrorInvalidValue;
  Picture p{};
  p.channels = args.shape[1];
  p.padded = ceil_div(p.channels, 8) * 8;
  p.pixels = args.shape[2] * args.shape[3];
  std::copy_n(to_plain ? args.to_strides : args.from_strides, 4, p.strides);
  if (p.pixels >= kMostIndices - kTileElements) return cudaErrorNotSupported;
  p.width = Divisor(args.shape[3]);
  const bool together = std::abs(p.strides[1]) == 1 && p.strides[3] != 1 && args.shape[3] > 1;
  const int64_t vectors = args.shape[0] * p.pixels * (p.padded / 8);
  if ((together || p.pixels < 8) && vectors < kMostIndices) {
    p.pixel_tiles = Divisor(p.pixels);
    const auto blocks = static_cast<unsigned>(ceil_div(vectors, kThreads));
    const Divisor channel_blocks(p.padded / 8);
    const auto count = static_cast<uint32_t>(vectors);
    if (to_plain) pixel_by_pixel<From, To, true><<<blocks, kThreads, 0, stream>>>(from, to, p, channel_blocks, count);
    else pixel_by_pixel<From, To, false><<<blocks, kThreads, 0, stream>>>(from, to, p, channel_blocks, count);
    return cudaGetLastError();
  }
  if (p.padded <= 8) return by_tiles<From, To, 8>(from, to, p, args.shape[0], to_plain, stream);
  if (p.padded <= 32) return by_tiles<From, To, 32>(from, to, p, args.shape[0], to_plain, stream);
  return by_tiles<From, To, 64>(from, to, p, args.shape[0], to_plain, stream);
}

int bytes_of(ElementType type) {
  switch (type) {
    case ElementType::kRaw1: return 1;
    case ElementType::kFloat16:
    case ElementType::kRaw2: return 2;
    case ElementType::kFloat32:
    case ElementType::kRaw4: return 4;
    case ElementType::kRaw8: return 8;
  }
  return 0;
}

Loops plain_loops(const ReformatArgs& args) {
  Loops loops;
  for (int i = 0; i < args.rank; ++i) loops.add({args.shape[i], args.from_strides[i], args.to_strides[i]});
  return loops;
}

bool is_empty(const ReformatArgs& args) {
  return std::any_of(args.shape, args.shape + args.rank, [](int64_t size) { return size == 0; });
}

}  // namespace

cudaError_t reformat_tensor(const ReformatArgs& args, cudaStream_t stream) {
  if (args.rank < 0 || args.rank > kCopyRank) return cudaErrorInvalidValue;
  if (std::any_of(args.shape, args.shape + args.rank, [](int64_t size) { return size < 0; }))
    return cudaErrorInvalidValue;
  if (is_empty(args)) return cudaSuccess;
  const bool from_packed = args.from_layout == CopyLayout::kNhwc8, to_packed = args.to_layout == CopyLayout::kNhwc8;
  if ((from_packed || to_packed) && args.rank != 4) return cudaErrorInvalidValue;
  const bool widen = args.from_type == ElementType::kFloat16 && args.to_type == ElementType::kFloat32,
             narrow = args.from_type == ElementType::kFloat32 && args.to_type == ElementType::kFloat16;
  const int bytes = bytes_of(args.from_type);
  if (!widen && !narrow && bytes != bytes_of(args.to_type)) return cudaErrorNotSupported;
  if (from_packed != to_packed) {
    if (widen) return change_layout<__half, float>(args, stream);
    if (narrow) return change_layout<float, __half>(args, stream);
    if (bytes == 4) return change_layout<uint32_t, uint32_t>(args, stream);
    if (bytes == 2) return change_layout<uint16_t, uint16_t>(args, stream);
    return cudaErrorNotSupported;
  }
  Loops loops;
  if (from_packed) loops.add({args.shape[0] * args.shape[2] * args.shape[3] * (ceil_div(args.shape[1], 8) * 8), 1, 1});
  else loops = plain_loops(args);
  if (widen) return copy_loops(static_cast<const __half*>(args.from), static_cast<float*>(args.to), loops, stream);
  if (narrow) return copy_loops(static_cast<const float*>(args.from), static_cast<__half*>(args.to), loops, stream);
  return copy_raw(args.from, args.to, loops, bytes, stream);
}

cudaError_t reformat_tensors(const ReformatArgs* args, int count, cudaStream_t stream) {
  while (count > 0) {
    // As many as one launch takes.
    Loops loops[kMostParts];
    Rows rows{};
    int taken = 0;
    int64_t unit = 16, units = 0;
    for (; taken < count && rows.parts < kMostParts; ++taken) {
      const ReformatArgs& a = args[taken];
      if (a.rank < 0 || a.rank > kCopyRank || a.from_layout != CopyLayout::kPlain ||
          a.to_layout != CopyLayout::kPlain || a.from_type != a.to_type)
        break;
      if (is_empty(a)) continue;
      const Loops l = plain_loops(a);
      const int bytes = bytes_of(a.from_type);
      if (bytes != bytes_of(args[0].from_type) || l.count > 2 || !has_runs(l) ||
          l.indices() >= kMostIndices / kMostParts)
        break;
      unit = std::min(unit, widest_unit(a.from, a.to, l, bytes));
      loops[rows.parts] = l;
      rows.from[rows.parts] = a.from, rows.to[rows.parts] = a.to;
      ++rows.parts;
    }
    if (taken == 0 || rows.parts == 1) {
      // Alone, or nothing that rows can do.
      const int alone = std::max(taken, 1);
      for (int i = 0; i < alone; ++i)
        if (const cudaError_t error = reformat_tensor(args[i], stream); error != cudaSuccess) return error;
      args += alone, count -= alone;
      continue;
    }
    const int64_t bytes = bytes_of(args[0].from_type);
    args += taken, count -= taken;
    if (rows.parts == 0) continue;
    for (int i = 0; i < rows.parts; ++i) {
      const Loops l = in_units(loops[i], unit / bytes);
      const int64_t length = l.count == 0 ? 1 : l.loop[l.count - 1].count;
      rows.length[i] = Divisor(length);
      rows.from_pitch[i] = l.count == 2 ? l.loop[0].from : 0, rows.to_pitch[i] = l.count == 2 ? l.loop[0].to : 0;
      rows.count[i] = static_cast<uint32_t>(l.indices());
      rows.first_block[i] = static_cast<uint32_t>(units);
      units += ceil_div(l.indices(), kThreads);
    }
    const cudaError_t error = with_unit(unit, [&](auto element) {
      copy_rows<decltype(element)><<<static_cast<unsigned>(units), kThreads, 0, stream>>>(rows);
      return cudaGetLastError();
    });
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace fovea::core::cuda
