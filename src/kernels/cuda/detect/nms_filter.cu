// Scores that pass to lists of candidates, in any order.
#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

constexpr int kFilterThreads = 256, kFilterWarps = kFilterThreads / 32;
constexpr int kTileBoxes = 32, kTileColumns = 96;

// A list for each class: a tile of boxes and classes is read along the classes and written along the boxes. A warp has
// classes side by side, so that it counts them in one piece of memory.
__global__ void __launch_bounds__(kFilterThreads) filter_classes(NmsArgs a, const float* scores, NmsMemory m) {
  constexpr int kRows = kTileBoxes / kFilterWarps, kColumns = kTileColumns / 32, kOwn = kTileColumns / kFilterWarps;
  __shared__ float tile[kTileBoxes][kTileColumns + 1];
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t across = tiles(a.classes, kTileColumns), down = tiles(a.boxes, kTileBoxes);
  const uint32_t column0 = blockIdx.x % across * kTileColumns, box0 = blockIdx.x / across % down * kTileBoxes;
  const int64_t image = blockIdx.x / across / down;
  const float* const from = scores + (image * a.boxes + box0) * a.classes + column0;
  float values[kRows][kColumns];
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const uint32_t row = r * kFilterWarps + warp, column = c * 32 + lane;
      const bool inside = box0 + row < a.boxes && column0 + column < a.classes;
      values[r][c] = inside ? __ldg(from + static_cast<int64_t>(row) * a.classes + column) : __int_as_float(0x7fffffff);
    }
#pragma unroll
  for (int r = 0; r < kRows; ++r)
#pragma unroll
    for (int c = 0; c < kColumns; ++c) tile[r * kFilterWarps + warp][c * 32 + lane] = values[r][c];
  __syncthreads();
  uint32_t masks[kOwn], mine = 0;  // lane j counts the warp's column j
#pragma unroll
  for (int j = 0; j < kOwn; ++j) {
    const uint32_t column = warp * kOwn + j;
    masks[j] = __ballot_sync(0xffffffffu, is_candidate(a, column0 + column, tile[lane][column]));
    if (lane == j) mine = __popc(masks[j]);
  }
  uint32_t first = 0;
  const int64_t list0 = image * a.classes + column0 + warp * kOwn;
  if (mine > 0) first = atomicAdd(&m.counts[list0 + lane], mine);
#pragma unroll
  for (int j = 0; j < kOwn; ++j) {
    if (masks[j] == 0) continue;
    const uint32_t begin = __shfl_sync(0xffffffffu, first, j);
    if (!(masks[j] >> lane & 1)) continue;
    const uint32_t column = warp * kOwn + j;
    const int64_t at = (list0 + j) * a.room + begin + __popc(masks[j] & lanes_below());
    m.high[at] = ~ordered(tile[lane][column]);
    m.low[at] = (box0 + lane) * a.classes + column0 + column;
  }
}

// A list for each image, all classes of a box.
constexpr int kFilterEach = 8;
__global__ void __launch_bounds__(kFilterThreads) filter_image(NmsArgs a, const float* scores, NmsMemory m) {
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32, count = a.boxes * a.classes;
  const uint32_t across = tiles(count, kFilterThreads * kFilterEach);
  const int64_t image = blockIdx.x / across;
  const uint64_t first = uint64_t{blockIdx.x % across} * kFilterThreads * kFilterEach + warp * 32 * kFilterEach + lane;
  const float* const from = scores + image * count;
  float values[kFilterEach];
#pragma unroll
  for (int j = 0; j < kFilterEach; ++j)
    values[j] = first + j * 32 < count ? __ldg(from + first + j * 32) : __int_as_float(0x7fffffff);
  uint32_t masks[kFilterEach], sum = 0;
#pragma unroll
  for (int j = 0; j < kFilterEach; ++j) {
    const uint32_t column = static_cast<uint32_t>(first + j * 32) % a.classes;
    masks[j] = __ballot_sync(0xffffffffu, is_candidate(a, column, values[j]));
    sum += __popc(masks[j]);
  }
  if (sum == 0) return;
  uint32_t begin = 0;
  if (lane == 0) begin = atomicAdd(&m.counts[image], sum);
  begin = __shfl_sync(0xffffffffu, begin, 0);
#pragma unroll
  for (int j = 0; j < kFilterEach; ++j) {
    if (masks[j] >> lane & 1) {
      const int64_t at = image * a.room + begin + __popc(masks[j] & lanes_below());
      m.high[at] = ~ordered(values[j]);
      m.low[at] = static_cast<uint32_t>(first + j * 32);
    }
    begin += __popc(masks[j]);
  }
}

// The best classes of a box alone; a warp for each box.
__global__ void __launch_bounds__(kFilterThreads) filter_best(NmsArgs a, const float* scores, NmsMemory m) {
  const int64_t number = int64_t{blockIdx.x} * kFilterWarps + threadIdx.x / 32;
  if (number >= a.images * a.boxes) return;
  const int64_t image = number / a.boxes;
  const auto box = static_cast<uint32_t>(number % a.boxes);
  const float* const from = scores + number * a.classes;
  Key next = 0;
  for (uint32_t i = 0; i < a.best_of_box; ++i) {
    const Key best = best_class(a.classes, next, [&](uint32_t c) {
      const float score = __ldg(from + c);
      return is_candidate(a, c, score) ? Key(~ordered(score)) << 32 | c : ~Key(0);
    });
    if (best == ~Key(0)) return;
    next = best + 1;
    if (threadIdx.x % 32 != 0) continue;
    const auto column = static_cast<uint32_t>(best);
    const int64_t list = a.list_per_class ? image * a.classes + column : image;
    const int64_t at = list * a.room + atomicAdd(&m.counts[list], 1u);
    m.high[at] = static_cast<uint32_t>(best >> 32);
    m.low[at] = box * a.classes + column;
  }
}

constexpr int kThinThreads = 256;
// Where a list has several groups: those that are not among the best of their group are dropped.
__global__ void __launch_bounds__(kThinThreads) drop_beyond_best(NmsArgs a, const void* group, NmsMemory m) {
  __shared__ Key keys[kThinThreads];
  __shared__ long long groups[kThinThreads];
  const uint32_t across = tiles(a.room, kThinThreads);
  const int64_t list = blockIdx.x / across;
  const uint32_t first = blockIdx.x % across * kThinThreads, count = m.counts[list], i = first + threadIdx.x;
  if (first >= count) return;
  const uint32_t *high = m.high + list * a.room, *low = m.low + list * a.room;
  const auto key = [&](uint32_t k) { return Key(high[k]) << 32 | low[k]; };
  const Key own = i < count ? key(i) : 0;
  const long long own_group = i < count ? group_of(a, group, list, low[i]) : 0;
  uint32_t better = 0;
  for (uint32_t tile = 0; tile < count; tile += kThinThreads) {
    const uint32_t k = tile + threadIdx.x, size = min(count - tile, kThinThreads);
    __syncthreads();
    if (k < count) keys[threadIdx.x] = key(k), groups[threadIdx.x] = group_of(a, group, list, low[k]);
    __syncthreads();
    for (uint32_t j = 0; j < size; ++j) better += groups[j] == own_group && keys[j] < own;
  }
  if (i < count) m.thinned[list * a.room + i] = better < a.most_of_group ? high[i] : kDropped;
}

}  // namespace

cudaError_t filter_candidates(const NmsArgs& a, const float* scores, const NmsMemory& m, cudaStream_t stream) {
  if (a.boxes == 0 || a.classes == 0 || a.keep == 0) return cudaSuccess;
  int64_t blocks = 0;
  if (a.best_of_box != kNoLimit) {
    blocks = (a.images * a.boxes + kFilterWarps - 1) / kFilterWarps;
    filter_best<<<static_cast<unsigned>(blocks), kFilterThreads, 0, stream>>>(a, scores, m);
  } else if (a.list_per_class) {
    blocks = a.images * tiles(a.boxes, kTileBoxes) * tiles(a.classes, kTileColumns);
    filter_classes<<<static_cast<unsigned>(blocks), kFilterThreads, 0, stream>>>(a, scores, m);
  } else {
    blocks = a.images * tiles(a.boxes * a.classes, kFilterThreads * kFilterEach);
    filter_image<<<static_cast<unsigned>(blocks), kFilterThreads, 0, stream>>>(a, scores, m);
  }
  return cudaGetLastError();
}

void thin_groups(const NmsArgs& a, const void* group, const NmsMemory& m, cudaStream_t stream) {
  const int64_t blocks = a.lists() * tiles(a.room, kThinThreads);
  if (blocks > 0) drop_beyond_best<<<static_cast<unsigned>(blocks), kThinThreads, 0, stream>>>(a, group, m);
}

}  // namespace fovea::core::cuda
