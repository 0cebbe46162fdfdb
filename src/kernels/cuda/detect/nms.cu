#include "kernels/cuda/detect/nms.h"

#include <algorithm>

#include "kernels/cuda/device/nms.cuh"

namespace fovea::core::cuda {
namespace {

int64_t aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

NmsMemory lay_out(const NmsArgs& a, std::byte* at, int64_t& bytes) {
  bytes = 0;
  const auto take = [&](int64_t count, int64_t size) {
    std::byte* const p = at ? at + bytes : nullptr;
    bytes += aligned(count * size);
    return p;
  };
  NmsMemory m{};
  m.counts = reinterpret_cast<uint32_t*>(take(a.lists(), 4));
  m.kept_counts = reinterpret_cast<uint32_t*>(take(a.lists(), 4));
  m.image_counts = reinterpret_cast<uint32_t*>(take(a.images, 4));
  std::byte* const candidates = take(a.lists() * a.room, 8);
  m.high = reinterpret_cast<uint32_t*>(candidates), m.low = m.high + a.lists() * a.room;
  m.thinned = a.most_of_group != kNoLimit ? reinterpret_cast<uint32_t*>(take(a.lists() * a.room, 4)) : m.high;
  const uint32_t narrowed = narrow_room(a);
  if (narrowed > 0) {
    m.narrowing = take(narrow_bytes(a), 1);
    m.narrow_high = reinterpret_cast<uint32_t*>(take(a.lists() * narrowed, 4));
    m.narrow_low = reinterpret_cast<uint32_t*>(take(a.lists() * narrowed, 4));
  }
  if (a.soft) m.lowered = reinterpret_cast<float*>(take(a.lists() * (narrowed > 0 ? narrowed : a.room), 4));
  m.kept = reinterpret_cast<Key*>(take(a.lists() * a.keep, 8));
  m.found = reinterpret_cast<Key*>(candidates);
  m.found_room = static_cast<uint32_t>(std::min<int64_t>(a.lists_per_image() * a.keep, a.total));
  return m;
}

}  // namespace

int64_t nms_workspace(const NmsArgs& args) {
  int64_t bytes = 0;
  lay_out(args, nullptr, bytes);
  return bytes;
}

cudaError_t run_nms(const NmsArgs& a, const NmsTensors& t, cudaStream_t stream) {
  int64_t bytes = 0;
  const NmsMemory m = lay_out(a, t.workspace, bytes);
  if (a.lists() > 0) {
    if (cudaError_t e = cudaMemsetAsync(m.counts, 0, static_cast<size_t>(a.lists()) * 4, stream); e != cudaSuccess)
      return e;
    if (cudaError_t e = t.heads ? filter_heads(a, *t.heads, m, stream) : filter_candidates(a, t.scores, m, stream);
        e != cudaSuccess)
      return e;
    if (a.most_of_group != kNoLimit) thin_groups(a, t.group, m, stream);
    NmsArgs lists = a;
    NmsMemory from = m;
    if (const uint32_t narrowed = narrow_room(a); narrowed > 0) {
      lists.room = narrowed;
      from.high = from.thinned = m.narrow_high, from.low = m.narrow_low;
      if (cudaError_t e = narrow_lists(a, m, from, stream); e != cudaSuccess) return e;
    }
    if (a.soft) suppress_softly(lists, t.boxes, t.group, from, stream);
    else suppress_lists(lists, t.boxes, t.group, from, stream);
  }
  merge_lists(a, t, m, stream);
  if (a.rows != NmsRows::kPadded) write_found(a, t, m, stream);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
