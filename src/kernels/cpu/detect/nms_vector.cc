// Non-maximum suppression as the reference kernel does it, hard and soft, but for the comparison of a box with those
// kept: a vector of them at a time, with the same float32 expressions in the same order, so that boxes and scores are
// the same to the last bit.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/detect/nms_vector.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include "kernels/cpu/table.h"
#include "kernels/reference/detect/nms_select.h"

HWY_BEFORE_NAMESPACE();
namespace fovea::core {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using V = hn::Vec<Floats>;

// As std::min and std::max: the first where one of them is NaN.
HWY_INLINE V least(V a, V b) { return hn::IfThenElse(hn::Lt(b, a), b, a); }
HWY_INLINE V greatest(V a, V b) { return hn::IfThenElse(hn::Lt(a, b), b, a); }

// A box's IoU with the kept boxes from the j-th on, as many as a vector has lanes; the coordinates of kept boxes lie in
// five rows of `room`.
HWY_INLINE V iou_with(const float* box, const float* kept, size_t room, size_t j, float offset_value) {
  const Floats d;
  const V zero = hn::Zero(d), offset = hn::Set(d, offset_value), area = hn::Set(d, box[4]);
  const V w = hn::Add(hn::Sub(least(hn::Set(d, box[2]), hn::LoadU(d, kept + 2 * room + j)),
                              greatest(hn::Set(d, box[0]), hn::LoadU(d, kept + j))),
                      offset);
  const V h = hn::Add(hn::Sub(least(hn::Set(d, box[3]), hn::LoadU(d, kept + 3 * room + j)),
                              greatest(hn::Set(d, box[1]), hn::LoadU(d, kept + room + j))),
                      offset);
  const V other = hn::LoadU(d, kept + 4 * room + j);
  const V intersection = hn::IfThenElseZero(hn::And(hn::Gt(w, zero), hn::Gt(h, zero)), hn::Mul(w, h));
  const V together = hn::Sub(hn::Add(area, other), intersection);
  const auto defined = hn::And(hn::And(hn::Gt(intersection, zero), hn::Gt(area, zero)),
                               hn::And(hn::Gt(other, zero), hn::Gt(together, zero)));
  return hn::IfThenElseZero(defined, hn::Div(intersection, together));
}

// Does one of the first `whole` kept boxes overlap `box` too much? `whole` is a multiple of the lanes.
bool overlaps_any(const float* box, const float* kept, size_t room, size_t whole, float offset, float threshold_value,
                  bool or_equal) {
  const Floats d;
  const V threshold = hn::Set(d, threshold_value);
  for (size_t j = 0; j < whole; j += hn::Lanes(d)) {
    const V iou = iou_with(box, kept, room, j, offset);
    if (!hn::AllFalse(d, or_equal ? hn::Ge(iou, threshold) : hn::Gt(iou, threshold))) return true;
  }
  return false;
}

// The IoU with the kept boxes [begin, end), a multiple of the lanes; returns whether one is above 0.
bool overlaps(const float* box, const float* kept, size_t room, size_t begin, size_t end, float offset, float* ious) {
  const Floats d;
  V largest = hn::Zero(d);
  for (size_t j = begin; j < end; j += hn::Lanes(d)) {
    const V iou = iou_with(box, kept, room, j, offset);
    hn::StoreU(iou, d, ious + (j - begin));
    largest = hn::Max(largest, iou);
  }
  return !hn::AllFalse(d, hn::Gt(largest, hn::Zero(d)));
}

size_t float_lanes() { return hn::Lanes(Floats()); }

}  // namespace HWY_NAMESPACE
}  // namespace fovea::core
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fovea::core {
namespace {

HWY_EXPORT(overlaps_any);
HWY_EXPORT(overlaps);
HWY_EXPORT(float_lanes);

// Kept boxes in five rows of `room`, in the memory of as many corners.
struct KeptBoxes {
  float* rows;
  size_t room;

  static_assert(sizeof(nms::Corners<float>) == 5 * sizeof(float));
  KeptBoxes(nms::Corners<float>* memory, int64_t count)
      : rows(reinterpret_cast<float*>(memory)), room(static_cast<size_t>(count)) {}

  nms::Corners<float> get(size_t j) const {
    return {rows[j], rows[room + j], rows[2 * room + j], rows[3 * room + j], rows[4 * room + j]};
  }
  void set(size_t j, const nms::Corners<float>& box) const {
    const float flat[] = {box.x0, box.y0, box.x1, box.y1, box.area};
    for (size_t k = 0; k < 5; ++k) rows[k * room + j] = flat[k];
  }
};

int64_t suppress(const NmsAttrs& a, const nms::Limits<float>& limits, const nms::Image<float>& image,
                 nms::Candidate<float>* group, int64_t count, nms::Corners<float>* memory) {
  const int64_t most = limits.max_per_group < 0 ? count : std::min(count, limits.max_per_group);
  if (!nms::suppresses(a, limits.iou_threshold)) return most;
  const auto offset = static_cast<float>(a.iou_offset);
  const bool or_equal = a.iou_compare == NmsCompare::kGreaterEqual;
  const KeptBoxes kept(memory, count);
  const size_t lanes = HWY_DYNAMIC_DISPATCH(float_lanes)();
  size_t found = 0;
  for (size_t i = 0; i < kept.room && found < static_cast<size_t>(most); ++i) {
    const nms::Corners<float> box = nms::corners(a, image.box(group[i]));
    const float flat[] = {box.x0, box.y0, box.x1, box.y1, box.area};
    const size_t whole = found - found % lanes;
    bool keep = whole == 0 || !HWY_DYNAMIC_DISPATCH(overlaps_any)(flat, kept.rows, kept.room, whole, offset,
                                                                  limits.iou_threshold, or_equal);
    for (size_t j = whole; keep && j < found; ++j)
      keep = !nms::passes(a.iou_compare, nms::iou(box, kept.get(j), offset), limits.iou_threshold);
    if (!keep) continue;
    kept.set(found, box);
    group[found++] = group[i];
  }
  return static_cast<int64_t>(found);
}

int64_t suppress_softly(const NmsAttrs& a, const nms::Limits<float>& limits, const nms::Image<float>& image,
                        nms::Candidate<float>* group, int64_t count, nms::Corners<float>* memory,
                        nms::Queued<float>* queue) {
  constexpr size_t kTogether = 256;
  const float scale = nms::soft_scale<float>(a), offset = static_cast<float>(a.iou_offset);
  const KeptBoxes kept(memory, count);
  const size_t lanes = HWY_DYNAMIC_DISPATCH(float_lanes)();
  const auto keep = [&](int64_t i, const nms::Corners<float>& box) { kept.set(static_cast<size_t>(i), box); };
  const auto lower = [&](float score, const nms::Corners<float>& box, int64_t begin, int64_t end) {
    const float flat[] = {box.x0, box.y0, box.x1, box.y1, box.area};
    const auto passes = [&] { return nms::passes(a.score_compare, score, limits.score_threshold); };
    float ious[kTogether];
    const auto last = static_cast<size_t>(end);
    auto j = static_cast<size_t>(begin);
    for (size_t size = 0; j + lanes <= last && passes(); j += size) {
      size = std::min(kTogether, (last - j) / lanes * lanes);
      if (!HWY_DYNAMIC_DISPATCH(overlaps)(flat, kept.rows, kept.room, j, j + size, offset, ious)) continue;
      for (size_t k = 0; k < size && passes(); ++k) score = nms::lowered(score, ious[k], scale);
    }
    for (; j < last && passes(); ++j) score = nms::lowered(score, nms::iou(box, kept.get(j), offset), scale);
    return score;
  };
  return nms::suppress_softly(a, limits, image, group, count, queue, keep, lower);
}

class NmsKernel final : public PreparedKernel {
 public:
  Status run(KernelContext& c) const override { return nms::run(c, suppress, suppress_softly); }
};

std::string refuse(const Group& group) {
  for (size_t i : {nms_input::kBoxes, nms_input::kScores})
    if (group.inputs[i]->dtype != DType::kFloat32)
      return fmt::format("{}, not float32", to_string(group.inputs[i]->dtype));
  return "";
}

}  // namespace

const KernelRow kernel_nms_vector = {.name = "nms_vector",
                                     .op = "Nms",
                                     .strided_inputs = true,
                                     .dynamic_shapes = true,
                                     .match = match_node,
                                     .refuse = refuse,
                                     .prepare = prepare_as<NmsKernel>,
                                     .preference = 4};

}  // namespace fovea::core
#endif
