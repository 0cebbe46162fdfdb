#include "kernels/cuda/detect/nms.h"

#include <algorithm>

#include "kernels/cuda/detect/heads.h"
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
  const int64_t lists = a.images_at_once * a.lists_per_image();
  NmsMemory m{};
  m.counts = reinterpret_cast<uint32_t*>(take(lists, 4));
  m.kept_counts = reinterpret_cast<uint32_t*>(take(a.lists(), 4));
  m.image_counts = reinterpret_cast<uint32_t*>(take(a.images, 4));
  m.found_room = static_cast<uint32_t>(std::min<int64_t>(a.lists_per_image() * a.keep, a.total));
  std::byte* const candidates = take(std::max(lists * a.room, a.images * m.found_room), sizeof(Key));
  m.high = reinterpret_cast<uint32_t*>(candidates), m.low = m.high + lists * a.room;
  m.found = reinterpret_cast<Key*>(candidates);
  m.thinned = a.most_of_group != kNoLimit ? reinterpret_cast<uint32_t*>(take(lists * a.room, 4)) : m.high;
  if (a.narrows) m.narrowing = take(narrow_bytes(a), 1);
  if (a.left > 0) {
    m.left_counts = reinterpret_cast<uint32_t*>(take(a.lists(), 4));
    m.left_high = reinterpret_cast<uint32_t*>(take(a.lists() * a.left, 4));
    m.left_low = reinterpret_cast<uint32_t*>(take(a.lists() * a.left, 4));
  }
  if (a.soft) m.lowered = reinterpret_cast<float*>(take(a.left > 0 ? a.lists() * a.left : lists * a.room, 4));
  m.kept = reinterpret_cast<Key*>(take(a.lists() * a.keep, sizeof(Key)));
  return m;
}

// Some of the images alone.
struct Turn {
  NmsArgs args;
  NmsTensors tensors;
  ScoreHeads heads;
  NmsMemory memory;

  Turn(const NmsArgs& a, const NmsTensors& t, const NmsMemory& m, int64_t first, int64_t images)
      : args(a), tensors(t), memory(m) {
    const int64_t boxes = first * a.boxes, lists = first * a.lists_per_image();
    args.images = images;
    tensors.boxes += boxes * (a.boxes_per_class ? a.classes : 1) * 4;
    if (t.group) tensors.group = static_cast<const std::byte*>(t.group) + boxes * (a.wide_group ? 8 : 4);
    if (t.heads) {
      heads = *t.heads;
      heads.heads.images = images;
      for (int i = 0; i < heads.heads.pieces; ++i) {
        HeadPiece& p = heads.heads.piece[i];
        p.data = static_cast<const std::byte*>(p.data) + first * p.image_stride * (heads.heads.half ? 2 : 4);
      }
    } else {
      tensors.scores += boxes * a.classes;
    }
    memory.kept += lists * a.keep, memory.kept_counts += lists;
    if (a.left > 0)
      memory.left_counts += lists, memory.left_high += lists * a.left, memory.left_low += lists * a.left;
  }
};

cudaError_t find_candidates(const Turn& turn, cudaStream_t stream) {
  const NmsArgs& a = turn.args;
  const NmsMemory& m = turn.memory;
  if (cudaError_t e = cudaMemsetAsync(m.counts, 0, static_cast<size_t>(a.lists()) * 4, stream); e != cudaSuccess)
    return e;
  if (cudaError_t e = turn.tensors.heads ? filter_heads(a, turn.heads, m, stream)
                                         : filter_candidates(a, turn.tensors.scores, m, stream);
      e != cudaSuccess)
    return e;
  if (a.most_of_group != kNoLimit) thin_groups(a, turn.tensors.group, m, stream);
  return a.left > 0 ? shorten_lists(a, m, stream) : cudaSuccess;
}

void suppress(const NmsArgs& a, const NmsTensors& t, const NmsMemory& m, cudaStream_t stream) {
  if (a.soft) suppress_softly(a, t.boxes, t.group, m, stream);
  else suppress_lists(a, t.boxes, t.group, m, stream);
}

}  // namespace

void plan_memory(NmsArgs& a, int64_t images_at_once) {
  constexpr int64_t kCandidateBytes = int64_t{128} << 20, kBusyLists = 1024;
  const int64_t lists = a.lists_per_image(), bytes = lists * a.room * int64_t{sizeof(Key)};
  a.images_at_once = std::min(images_at_once > 0 ? images_at_once : a.images, a.images);
  if (images_at_once == 0 && a.images * bytes > kCandidateBytes) {
    // Lists that are shortened wait for the others, and suppression goes over all of them; else over a turn's alone.
    const int64_t busy = shortened_room(a) > 0 ? 1 : (kBusyLists + lists - 1) / lists;
    const int64_t most = std::max(busy, kCandidateBytes / bytes), turns = (a.images + most - 1) / most;
    a.images_at_once = (a.images + turns - 1) / turns;
  }
  a.left = narrow_room(a);
  a.narrows = a.left > 0;
  if (!a.narrows && a.images_at_once < a.images) a.left = shortened_room(a);
}

int64_t nms_workspace(const NmsArgs& args) {
  int64_t bytes = 0;
  lay_out(args, nullptr, bytes);
  return bytes;
}

cudaError_t run_nms(const NmsArgs& a, const NmsTensors& t, cudaStream_t stream) {
  int64_t bytes = 0;
  const NmsMemory m = lay_out(a, t.workspace, bytes);
  for (int64_t first = 0; first < a.images && a.lists_per_image() > 0; first += a.images_at_once) {
    const Turn turn(a, t, m, first, std::min(a.images_at_once, a.images - first));
    if (cudaError_t e = find_candidates(turn, stream); e != cudaSuccess) return e;
    if (a.left == 0) suppress(turn.args, turn.tensors, turn.memory, stream);
  }
  if (a.left > 0) {
    NmsArgs lists = a;
    NmsMemory from = m;
    lists.room = a.left;
    from.counts = m.left_counts, from.high = from.thinned = m.left_high, from.low = m.left_low;
    suppress(lists, t, from, stream);
  }
  merge_lists(a, t, m, stream);
  if (a.rows != NmsRows::kPadded) write_found(a, t, m, stream);
  return cudaGetLastError();
}

}  // namespace fovea::core::cuda
