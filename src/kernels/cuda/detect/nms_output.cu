// What the lists of an image have kept, together and in the order of the outputs; and the outputs.
#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

// What is found of an image lies in its only list, already in the order of the outputs.
__host__ __device__ bool in_order(const NmsArgs& a) {
  return !a.list_per_class && (a.rows != NmsRows::kIndices || a.classes == 1);
}

__device__ void write_row(const NmsArgs& a, const NmsTensors& t, int64_t row, int64_t image, uint32_t candidate,
                          float score) {
  const uint32_t box = candidate / a.classes, column = candidate % a.classes;
  if (a.rows == NmsRows::kIndices || a.rows == NmsRows::kIndicesByScore) {
    if (auto* const out = static_cast<int64_t*>(t.outputs[0])) {
      if (a.rows == NmsRows::kIndices) out[3 * row] = image, out[3 * row + 1] = column, out[3 * row + 2] = box;
      else out[row] = box;
    }
  } else {
    if (auto* const out = static_cast<float*>(t.outputs[0])) {
      const float* const from = box_of(a, t.boxes, image, candidate);
      for (int i = 0; i < 4; ++i) {
        const float x = from[i];
        out[4 * row + i] = !a.clip ? x : x < 0.0f ? 0.0f : 1.0f < x ? 1.0f : x;  // NaN and -0 stay
      }
    }
    const int64_t label = a.named_by_group ? group_at(a, t.group, image * a.boxes + box) : column;
    if (t.outputs[2]) static_cast<int64_t*>(t.outputs[2])[row] = label + a.class_offset;
    if (t.outputs[3] && a.rows == NmsRows::kDetections) static_cast<int64_t*>(t.outputs[3])[row] = image;
    if (t.outputs[4]) static_cast<int64_t*>(t.outputs[4])[row] = box;
  }
  if (t.outputs[1]) static_cast<float*>(t.outputs[1])[row] = score;
}

// The rows of an image, from row `first` on and `most` at most, shared out among `workers` threads (whole warps).
__device__ void write_rows(const NmsArgs& a, const NmsTensors& t, int64_t image, const Key* found, uint32_t count,
                           int64_t first, int64_t most, uint32_t worker, uint32_t workers) {
  const float* const scores = t.scores + image * a.boxes * a.classes;
  if (a.rows_per_box <= 1) {
    for (int64_t i = worker; i < count && i < most; i += workers) {
      const auto candidate = static_cast<uint32_t>(found[i]);
      const float score =
          t.scores && !a.soft ? __ldg(scores + candidate) : from_ordered(~static_cast<uint32_t>(found[i] >> 32));
      write_row(a, t, first + i, image, candidate, score);
    }
    return;
  }
  // The best classes of the box, whatever their scores; NaN counts as -infinity.
  const auto score_of = [&](const float* row, uint32_t c) {
    const float score = __ldg(row + c);
    return score == score ? score : __int_as_float(0xff800000);
  };
  for (uint32_t i = worker / 32; i < count; i += workers / 32) {
    const uint32_t box = static_cast<uint32_t>(found[i]) / a.classes;
    const float* const row = scores + static_cast<int64_t>(box) * a.classes;
    Key next = 0;
    for (uint32_t k = 0; k < a.rows_per_box; ++k) {
      const Key best = best_class(a.classes, next, [&](uint32_t c) {
        return c == a.background ? ~Key(0) : Key(~ordered(score_of(row, c))) << 32 | c;
      });
      next = best + 1;
      const auto column = static_cast<uint32_t>(best);
      const int64_t at = int64_t{i} * a.rows_per_box + k;
      if (threadIdx.x % 32 == 0 && at < most)
        write_row(a, t, first + at, image, box * a.classes + column, score_of(row, column));
    }
  }
}

__device__ void fill_rows(const NmsArgs& a, const NmsTensors& t, int64_t image, int64_t count) {
  for (int64_t i = count + threadIdx.x; i < a.padded_rows; i += blockDim.x) {
    const int64_t row = image * a.padded_rows + i;
    const auto number = static_cast<float>(a.fill);
    if (auto* const out = static_cast<float*>(t.outputs[0]))
      for (int k = 0; k < 4; ++k) out[4 * row + k] = number;
    if (t.outputs[1]) static_cast<float*>(t.outputs[1])[row] = number;
    if (t.outputs[2]) static_cast<int64_t*>(t.outputs[2])[row] = a.fill;
    if (t.outputs[4]) static_cast<int64_t*>(t.outputs[4])[row] = a.fill;
  }
}

// ---- lists to images

constexpr int kMergeThreads = 1024, kMergeChunk = 2048;
static_assert(kBins >= kMergeThreads);

// What an image's lists have kept, list by list.
struct KeptLists {
  static constexpr Key kLast = kLastCandidate;
  const Key* keys;
  const uint32_t* counts;
  uint32_t lists, stride, count;

  template <int kThreads, typename F>
  __device__ void each(Key first, Key last, bool, const F& f) const {
    for (uint32_t l = threadIdx.x / 32; l < lists; l += kThreads / 32) {
      const uint32_t size = counts[l];
      constexpr uint32_t kBatch = 4;  // loads in flight
      for (uint32_t i = threadIdx.x % 32; i < size; i += kBatch * 32) {
        Key k[kBatch];
#pragma unroll
        for (uint32_t j = 0; j < kBatch; ++j)
          k[j] = i + j * 32 < size ? keys[int64_t{l} * stride + i + j * 32] : ~Key(0);
        if (k[0] > last) break;  // a list is in order
#pragma unroll
        for (uint32_t j = 0; j < kBatch; ++j)
          if (k[j] >= first && k[j] <= last) f(k[j]);
      }
    }
  }
};

// Copies of each list the keys up to `last`, one list behind the other; returns how many.
__device__ uint32_t join_lists(const KeptLists& lists, Key last, Key* to, uint32_t* starts, uint32_t* warps) {
  const uint32_t tid = threadIdx.x, lane = tid % 32, warp = tid / 32;
  uint32_t all = 0;
  for (uint32_t base = 0; base < lists.lists; base += kMergeThreads) {
    uint32_t size = 0;
    if (base + tid < lists.lists) {
      const Key* const keys = lists.keys + int64_t{base + tid} * lists.stride;
      uint32_t end = lists.counts[base + tid];
      while (size < end) {
        const uint32_t middle = (size + end) / 2;
        if (keys[middle] <= last) size = middle + 1;
        else end = middle;
      }
    }
    uint32_t inclusive = size;
    for (int d = 1; d < 32; d <<= 1) {
      const uint32_t left = __shfl_up_sync(0xffffffffu, inclusive, d);
      if (lane >= d) inclusive += left;
    }
    if (lane == 31) warps[warp] = inclusive;
    __syncthreads();
    uint32_t start = inclusive - size, sum = 0;
    for (uint32_t w = 0; w < kMergeThreads / 32; ++w) {
      if (w < warp) start += warps[w];
      sum += warps[w];
    }
    starts[tid] = start;
    __syncthreads();
    for (uint32_t l = warp; l < kMergeThreads && base + l < lists.lists; l += kMergeThreads / 32) {
      const uint32_t begin = starts[l], end = l + 1 < kMergeThreads ? starts[l + 1] : sum;
      for (uint32_t i = lane; begin + i < end; i += 32)
        to[all + begin + i] = lists.keys[int64_t{base + l} * lists.stride + i];
    }
    all += sum;
    __syncthreads();
  }
  return all;
}

// A list of several classes in the order of classes, otherwise as it was.
__device__ void order_by_class(const NmsArgs& a, const Key* keys, uint32_t count, Key* to, uint32_t* columns) {
  for (uint32_t base = 0; base < count; base += kMergeThreads) {
    const uint32_t i = base + threadIdx.x;
    const Key own = i < count ? keys[i] : 0;
    const uint32_t column = static_cast<uint32_t>(own) % a.classes;
    uint32_t at = 0;
    for (uint32_t tile = 0; tile < count; tile += kMergeThreads) {
      const uint32_t size = min(count - tile, kMergeThreads);
      __syncthreads();
      if (threadIdx.x < size) columns[threadIdx.x] = static_cast<uint32_t>(keys[tile + threadIdx.x]) % a.classes;
      __syncthreads();
      for (uint32_t j = 0; j < size; ++j) at += columns[j] < column || (columns[j] == column && tile + j < i);
    }
    if (i < count) to[at] = own;
  }
  __syncthreads();
}

// One block for each image: the best of what its lists have kept, in the outputs' order, and where they are padded the
// outputs too.
__global__ void __launch_bounds__(kMergeThreads, 1) merge_image(NmsArgs a, NmsTensors t, NmsMemory m) {
  __shared__ Chunk<kMergeChunk> chunk;
  __shared__ uint32_t bins[kBins];
  __shared__ uint32_t all;
  const int64_t image = blockIdx.x;
  const auto lists = static_cast<uint32_t>(a.list_per_class ? a.classes : 1);
  KeptLists kept{m.kept + image * lists * a.keep, m.kept_counts + image * lists, lists, a.keep, 0};
  Key* const found = m.found + image * m.found_room;
  if (threadIdx.x == 0) all = 0;
  __syncthreads();
  for (uint32_t l = threadIdx.x; l < lists; l += kMergeThreads) atomicAdd(&all, kept.counts[l]);
  __syncthreads();
  kept.count = all;
  const uint32_t most = min(kept.count, a.total);
  const bool ordered_already = in_order(a);
  if (!ordered_already && !a.list_per_class) {
    order_by_class(a, kept.keys, most, found, bins);
  } else if (!ordered_already) {
    const bool by_class = a.rows == NmsRows::kIndices;
    Key last = KeptLists::kLast;
    if (!by_class || most < kept.count) {  // the best ones in their order, or the last of them
      Key from = 0;
      for (uint32_t done = 0; done < most;) {
        const uint32_t size =
            min(next_chunk<kMergeThreads>(kept, from, min(most - done, kMergeChunk), bins, chunk), most - done);
        if (size == 0) break;
        if (!by_class)
          for (uint32_t i = threadIdx.x; i < size; i += kMergeThreads) found[done + i] = chunk.keys[i];
        done += size;
        last = chunk.keys[size - 1];
        from = last + 1;
        __syncthreads();
      }
    }
    if (by_class && most > 0) join_lists(kept, last, found, bins, chunk.warps);
    __syncthreads();
  }
  if (threadIdx.x == 0) m.image_counts[image] = most;
  if (a.rows != NmsRows::kPadded) return;
  const int64_t rows = int64_t{most} * a.rows_per_box;
  if (threadIdx.x == 0 && t.outputs[3]) static_cast<int64_t*>(t.outputs[3])[image] = rows;
  write_rows(a, t, image, ordered_already ? kept.keys : found, most, image * a.padded_rows, a.padded_rows, threadIdx.x,
             kMergeThreads);
  fill_rows(a, t, image, rows);
}

constexpr int kWriteThreads = 256, kWriteBlocks = 4;
// The rows of all images, without gaps; kWriteBlocks blocks for each.
__global__ void __launch_bounds__(kWriteThreads) write_image(NmsArgs a, NmsTensors t, NmsMemory m) {
  __shared__ unsigned long long earlier, all;
  const int64_t image = blockIdx.x / kWriteBlocks;
  const uint32_t block = blockIdx.x % kWriteBlocks;
  if (threadIdx.x == 0) earlier = 0, all = 0;
  __syncthreads();
  const bool counts_all = blockIdx.x == 0;
  for (int64_t i = threadIdx.x; i < (counts_all ? a.images : image); i += kWriteThreads) {
    if (i < image) atomicAdd(&earlier, static_cast<unsigned long long>(m.image_counts[i]));
    atomicAdd(&all, static_cast<unsigned long long>(m.image_counts[i]));
  }
  __syncthreads();
  if (counts_all && threadIdx.x == 0 && a.defines_size && t.size) *t.size = static_cast<int64_t>(all) * a.rows_per_box;
  if (image >= a.images) return;
  const Key* const found = in_order(a) ? m.kept + image * a.keep : m.found + image * m.found_room;
  const uint32_t count = m.image_counts[image];
  write_rows(a, t, image, found, count, static_cast<int64_t>(earlier) * a.rows_per_box, int64_t{count} * a.rows_per_box,
             block * kWriteThreads + threadIdx.x, kWriteBlocks * kWriteThreads);
}

}  // namespace

void merge_lists(const NmsArgs& a, const NmsTensors& t, const NmsMemory& m, cudaStream_t stream) {
  if (a.images > 0) merge_image<<<static_cast<unsigned>(a.images), kMergeThreads, 0, stream>>>(a, t, m);
}

void write_found(const NmsArgs& a, const NmsTensors& t, const NmsMemory& m, cudaStream_t stream) {
  const int64_t images = a.images > 0 ? a.images : 1;  // one block says that there is nothing
  write_image<<<static_cast<unsigned>(images * kWriteBlocks), kWriteThreads, 0, stream>>>(a, t, m);
}

}  // namespace fovea::core::cuda
