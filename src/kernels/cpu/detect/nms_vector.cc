// Non-maximum suppression as the reference kernel does it, but for the comparison of a box with those kept: a vector of
// them at a time, with the same float32 expressions in the same order, so that the boxes are the same to the last bit.
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

// Does one of the first `whole` kept boxes overlap `box` too much? `whole` is a multiple of the lanes; the coordinates
// of kept boxes lie in five rows of `room`.
bool overlaps_any(const float* box, const float* kept, size_t room, size_t whole, float offset_value,
                  float threshold_value, bool or_equal) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  // As std::min and std::max: the first where one of them is NaN.
  const auto least = [](V a, V b) { return hn::IfThenElse(hn::Lt(b, a), b, a); };
  const auto greatest = [](V a, V b) { return hn::IfThenElse(hn::Lt(a, b), b, a); };
  const V x0 = hn::Set(d, box[0]), y0 = hn::Set(d, box[1]), x1 = hn::Set(d, box[2]), y1 = hn::Set(d, box[3]),
          area = hn::Set(d, box[4]);
  const V offset = hn::Set(d, offset_value), threshold = hn::Set(d, threshold_value), zero = hn::Zero(d);
  const auto has_area = hn::Gt(area, zero);
  for (size_t j = 0; j < whole; j += lanes) {
    const V w =
        hn::Add(hn::Sub(least(x1, hn::LoadU(d, kept + 2 * room + j)), greatest(x0, hn::LoadU(d, kept + j))), offset);
    const V h = hn::Add(
        hn::Sub(least(y1, hn::LoadU(d, kept + 3 * room + j)), greatest(y0, hn::LoadU(d, kept + room + j))), offset);
    const V other = hn::LoadU(d, kept + 4 * room + j);
    const V intersection = hn::IfThenElseZero(hn::And(hn::Gt(w, zero), hn::Gt(h, zero)), hn::Mul(w, h));
    const V together = hn::Sub(hn::Add(area, other), intersection);
    const auto defined =
        hn::And(hn::And(hn::Gt(intersection, zero), has_area), hn::And(hn::Gt(other, zero), hn::Gt(together, zero)));
    const V iou = hn::IfThenElseZero(defined, hn::Div(intersection, together));
    if (!hn::AllFalse(d, or_equal ? hn::Ge(iou, threshold) : hn::Gt(iou, threshold))) return true;
  }
  return false;
}

size_t float_lanes() { return hn::Lanes(hn::ScalableTag<float>()); }

}  // namespace HWY_NAMESPACE
}  // namespace fovea::core
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace fovea::core {
namespace {

HWY_EXPORT(overlaps_any);
HWY_EXPORT(float_lanes);

int64_t suppress(const NmsAttrs& a, const nms::Limits<float>& limits, const nms::Image<float>& image,
                 nms::Candidate<float>* group, int64_t count, nms::Corners<float>* memory) {
  const int64_t most = limits.max_per_group < 0 ? count : std::min(count, limits.max_per_group);
  if (!nms::suppresses(a, limits.iou_threshold)) return most;
  const auto offset = static_cast<float>(a.iou_offset);
  const bool or_equal = a.iou_compare == NmsCompare::kGreaterEqual;
  static_assert(sizeof(nms::Corners<float>) == 5 * sizeof(float));
  auto* kept = reinterpret_cast<float*>(memory);
  const auto room = static_cast<size_t>(count), lanes = HWY_DYNAMIC_DISPATCH(float_lanes)();
  size_t found = 0;
  for (size_t i = 0; i < room && found < static_cast<size_t>(most); ++i) {
    const nms::Corners<float> box = nms::corners(a, image.box(group[i]));
    const float flat[] = {box.x0, box.y0, box.x1, box.y1, box.area};
    const size_t whole = found - found % lanes;
    bool keep = whole == 0 ||
                !HWY_DYNAMIC_DISPATCH(overlaps_any)(flat, kept, room, whole, offset, limits.iou_threshold, or_equal);
    for (size_t j = whole; keep && j < found; ++j) {
      const nms::Corners<float> other = {kept[j], kept[room + j], kept[2 * room + j], kept[3 * room + j],
                                         kept[4 * room + j]};
      keep = !nms::passes(a.iou_compare, nms::iou(box, other, offset), limits.iou_threshold);
    }
    if (!keep) continue;
    for (size_t k = 0; k < 5; ++k) kept[k * room + found] = flat[k];
    group[found++] = group[i];
  }
  return static_cast<int64_t>(found);
}

class NmsKernel final : public PreparedKernel {
 public:
  Status run(KernelContext& c) const override { return nms::run(c, suppress); }
};

std::string refuse(const Group& group) {
  for (size_t i : {nms_input::kBoxes, nms_input::kScores})
    if (group.inputs[i]->dtype != DType::kFloat32)
      return fmt::format("{}, not float32", to_string(group.inputs[i]->dtype));
  return group.nodes[0]->as<NmsAttrs>().soft_sigma > 0 ? "soft suppression" : "";
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
