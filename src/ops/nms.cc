// Nms: non-maximum suppression, one operator for every framework's convention.
//
//   boxes   [B,N,4], or [B,N,Q,4] with Q = 1 (shared by the classes) or Q = C (a box of its own for each class)
//   scores  [B,N,C], or [B,N] (one class, number 0)
//   group   [B,N] integers, with group = explicit; with none they only name classes (see the outputs)
//   max_per_group, iou_threshold, score_threshold: scalars that only the run knows; each overrides its attribute
//           (a negative max_per_group counts as 0)
//
// The order of work, for each image by itself:
//   1. Candidates are (box, class) pairs, `background` left out: all of them (per_class), each box with its best class
//      (argmax) or with its top_m best ones, of which those whose score passes score_threshold stay. NaN never passes.
//   2. Candidates compete only within their group: their class, the key that input `group` gives their box (equal keys
//      are one group, whatever the classes), or all together. The pre_top_k best of each group, or of the image, stay.
//   3. From the best downwards a candidate is kept unless its IoU with one kept before it in its group passes
//      iou_threshold, until max_per_group are kept.
//      With soft_sigma, instead, each overlap multiplies the score by exp(-IoU^2 / (2 sigma)), and the candidate goes
//      back into the queue while its score passes; iou_threshold is not looked at (TensorFlow since 2.3). Those kept
//      lower a score in the order in which they were kept. Negative scores, which TensorFlow does not mean, rise, but
//      keep their place in the queue.
//   4. The max_total best of the image stay.
// Equal scores: the lower box index goes first, then the lower class. IoU is computed in float32 (float64 for float64)
// as intersection / (area + area - intersection), from corners; a box without positive area (inverted, empty, NaN)
// overlaps nothing: IoU 0.
//
// Outputs, of which later ones may be absent (NmsOutput): boxes come out as they came in, in their own type and form.
//   indices            in the order image, class, score: what ONNX says
//   indices_by_score   B = 1, best first: what torchvision says
//   padded             best first; M = max_total, or what can be found at most; classes int64, count int64
//   detections         image after image without gaps, best first
// In padded and detections the class is the score column, or where scores are [B,N] and the input group is given, that
// number, as with torchvision's batched_nms; class_offset is added. With candidates = argmax, classes_per_box = m gives
// each box kept m rows, with its m best classes whatever their scores; max_total still counts boxes (TFLite's fast
// form).
//
// How the frameworks' conventions are written:
//   ONNX NonMaxSuppression 10, 11   any_diagonal or centre; per_class; gt, gt; max_per_group, 0 where absent; indices.
//                                   Without a score threshold: ge -inf. (ONNX Runtime:
//                                   core/providers/cpu/object_detection)
//   torchvision nms, batched_nms    xyxy; group none or explicit; iou gt; indices_by_score
//   TensorFlow V3, V4, V5           any_diagonal; one class; gt, gt; max_per_group; V5: soft_sigma, scores; V4: padded,
//   its
//                                   indices and count. CombinedNonMaxSuppression: per_class, max_total, clip, padded
//                                   with zeros (tensorflow/core/kernels/image/non_max_suppression_op.cc)
//   TFLite DetectionPostprocess     yxyx from DecodeBoxes; score ge, iou gt; background 0, class_offset -1; fast:
//   argmax,
//                                   group none, classes_per_box; regular: per_class, max_per_group =
//                                   detections_per_class; max_total = max_detections
//                                   (tensorflow/lite/kernels/detection_postprocess.cc)
//   MXNet MultiBoxDetection         xyxy from DecodeBoxes; argmax, background 0, class_offset -1; ge, ge; pre_top_k of
//   the
//                                   image; group class, or none with force_suppress; padded with -1. MXNet leaves the
//                                   rows of suppressed boxes in place with class -1; here rows are compacted. Its
//                                   thresholds outside of (0, 1] mean iou_threshold = 2
//                                   (src/operator/contrib/multibox_detection.cc)
//   TensorRT batchedNMS             xyxy; per_class; score gt, iou gt; background; pre_top_k = topK; max_total =
//   keepTopK;
//                                   iou_offset = 1 unless normalised; clip; padded with zeros
//   TensorRT EfficientNMS           xyxy or centre; score gt, iou ge; pre_top_k of the image; max_total; group none
//   where
//                                   class_agnostic; padded with zeros
#include "ops/nms.h"

#include <cmath>

#include "ops/op.h"

namespace fovea::core {
namespace {

constexpr int64_t kMaxPadded = int64_t{1} << 31;  // rows of an image

// The sizes that inference talks of.
struct Extents {
  Dim images, boxes, classes;
};

Status check_boxes(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)), "a floating-point type"));
  if (c.rank(0) != 3 && c.rank(0) != 4)
    return c.error(fmt::format("boxes: expected [B,N,4] or [B,N,Q,4], found {}", to_string(c.shape(0))));
  const Dim& last = c.shape(0).back();
  if (last.is_const() && !last.is_const(4))
    return c.error(fmt::format("boxes: expected 4 numbers each, found {}", to_string(c.shape(0))));
  return {};
}

bool differ(const Dim& a, const Dim& b) { return a.is_const() && b.is_const() && !(a == b); }

Result<Extents> check_scores(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(1, is_float(c.dtype(1)), "a floating-point type"));
  const Shape &boxes = c.shape(0), &scores = c.shape(1);
  if (scores.size() != 2 && scores.size() != 3)
    return c.error(fmt::format("scores: expected [B,N] or [B,N,C], found {}", to_string(scores)));
  const Dim classes = scores.size() == 3 ? scores[2] : Dim(1);
  const bool per_class_boxes = boxes.size() == 4 && !boxes[2].is_const(1);
  if (differ(boxes[0], scores[0]) || differ(boxes[1], scores[1]) || (per_class_boxes && differ(boxes[2], classes)))
    return c.error(fmt::format("boxes {} and scores {} do not belong together", to_string(boxes), to_string(scores)));
  return Extents{boxes[0], boxes[1], classes};
}

Status check_group(InferContext& c, const Extents& e) {
  const NmsGroup group = c.attrs<NmsAttrs>().group;
  if (!c.has(2)) return group == NmsGroup::kExplicit ? c.error("group = explicit needs the input 'group'") : Status();
  if (group == NmsGroup::kClass) return c.error("input 'group' needs group = explicit or none");
  FOVEA_TRY(c.expect_dtype(2, is_integer(c.dtype(2)), "an integer type"));
  FOVEA_TRY(c.expect_rank(2, 2));
  if (differ(c.shape(2)[0], e.images) || differ(c.shape(2)[1], e.boxes))
    return c.error(
        fmt::format("group: expected [{},{}], found {}", e.images.str(), e.boxes.str(), to_string(c.shape(2))));
  return {};
}

Status check_scalar(InferContext& c, size_t i, bool integer) {
  if (!c.has(i)) return {};
  FOVEA_TRY(c.expect_dtype(i, integer ? is_integer(c.dtype(i)) : is_float(c.dtype(i)),
                           integer ? "an integer type" : "a floating-point type"));
  Dim count = product(c.shape(i));
  return count.is_const() && !count.is_const(1)
             ? c.error(fmt::format("input {}: expected one number, found {}", i, to_string(c.shape(i))))
             : Status();
}

Status check_attributes(InferContext& c, const Extents& e) {
  const NmsAttrs& a = c.attrs<NmsAttrs>();
  if (a.top_m < 1) return c.error(fmt::format("top_m: expected at least 1, found {}", a.top_m));
  if (a.iou_offset != 0 && a.iou_offset != 1)
    return c.error(fmt::format("iou_offset: expected 0 or 1, found {}", a.iou_offset));
  if (std::isnan(a.iou_threshold) || std::isnan(a.score_threshold)) return c.error("a threshold is NaN");
  if (!(a.soft_sigma >= 0)) return c.error(fmt::format("soft_sigma: expected 0 or more, found {}", a.soft_sigma));
  if (a.classes_per_box < 1)
    return c.error(fmt::format("classes_per_box: expected at least 1, found {}", a.classes_per_box));
  const bool rows = a.output == NmsOutput::kPadded || a.output == NmsOutput::kDetections;
  if (a.classes_per_box > 1 && (a.candidates != NmsCandidates::kArgmax || !rows))
    return c.error("classes_per_box needs candidates = argmax and output padded or detections");
  const bool corners = a.box_form != NmsBoxForm::kCentre && a.box_form != NmsBoxForm::kXywh;
  if (a.clip && !corners) return c.error("clip needs boxes given by their corners");
  if (a.output == NmsOutput::kPadded && a.max_total > kMaxPadded)
    return c.error(fmt::format("max_total: expected at most {}, found {}", kMaxPadded, a.max_total));
  if (a.output == NmsOutput::kIndicesByScore && !e.images.is_const(1))
    return c.error(fmt::format("indices_by_score is of one image, found boxes {}", to_string(c.shape(0))));
  return {};
}

// max_per_group as far as it is known; nullopt where there is none.
std::optional<Dim> group_limit(InferContext& c) {
  if (c.has(nms_input::kMaxPerGroup)) {
    SymValuePtr known = c.known(nms_input::kMaxPerGroup);
    if (!known || known->size() != 1 || !(*known)[0] || (*known)[0]->dtype() != DType::kInt64) return std::nullopt;
    Dim limit = max((*known)[0].value(), 0);
    return limit.lo() >= kUnbounded ? std::nullopt : std::optional(limit);
  }
  int64_t limit = c.attrs<NmsAttrs>().max_per_group;
  return limit < 0 || limit >= kUnbounded ? std::nullopt : std::optional(Dim(limit));
}

Dim at_most(const Dim& bound, int64_t limit) { return limit < 0 || limit >= kUnbounded ? bound : min(bound, limit); }

// Classes without the background.
Dim real_classes(InferContext& c, const Extents& e) {
  const int64_t background = c.attrs<NmsAttrs>().background;
  return e.classes.is_const() && background >= 0 && background < e.classes.int_value() ? e.classes - 1 : e.classes;
}

// What one image can give at most, in boxes.
Dim image_bound(InferContext& c, const Extents& e) {
  const NmsAttrs& a = c.attrs<NmsAttrs>();
  const Dim classes = real_classes(c, e);
  Dim all = e.boxes;  // argmax
  if (a.candidates == NmsCandidates::kPerClass) all = e.boxes * classes;
  if (a.candidates == NmsCandidates::kTopM) all = e.boxes * at_most(classes, a.top_m);
  const std::optional<Dim> limit = group_limit(c);
  if (a.group != NmsGroup::kExplicit) {
    const bool one_group = a.group == NmsGroup::kNone;
    Dim in_group = one_group ? all : e.boxes;
    if (a.pre_top_k_of == NmsScope::kGroup) in_group = at_most(in_group, a.pre_top_k);
    if (limit) in_group = min(in_group, *limit);
    all = min(all, one_group ? in_group : in_group * classes);
  } else if (limit && limit->is_const(0)) {
    all = 0;
  }
  if (a.pre_top_k_of == NmsScope::kImage) all = at_most(all, a.pre_top_k);
  return at_most(all, a.max_total);
}

// A size K that outputs [0, count) share; defined by the first of them that is there.
Dim shared_size(InferContext& c, size_t count, const Dim& bound) {
  for (size_t i = 0; i < count; ++i)
    if (c.node().output(i)) return c.data_dependent_size(static_cast<int>(i), 0, 0, bound);
  return bound;
}

void set_outputs(InferContext& c, const Extents& e) {
  const NmsAttrs& a = c.attrs<NmsAttrs>();
  const DType box = c.dtype(0), score = c.dtype(1), index = DType::kInt64;
  const Dim rows = image_bound(c, e);
  const Dim per_box = a.classes_per_box == 1 ? Dim(1) : at_most(real_classes(c, e), a.classes_per_box);
  if (a.output == NmsOutput::kIndices || a.output == NmsOutput::kIndicesByScore) {
    const Dim k = shared_size(c, 2, e.images * rows);
    c.set_output(0, index, a.output == NmsOutput::kIndices ? Shape{k, 3} : Shape{k});
    c.set_output(1, score, {k});
  } else if (a.output == NmsOutput::kDetections) {
    const Dim k = shared_size(c, 5, e.images * rows * per_box);
    c.set_output(0, box, {k, 4});
    c.set_output(1, score, {k});
    for (size_t i = 2; i < 5; ++i) c.set_output(i, index, {k});
  } else {
    const Dim m = (a.max_total >= 0 ? Dim(a.max_total) : rows) * per_box;
    c.set_output(0, box, {e.images, m, 4});
    c.set_output(1, score, {e.images, m});
    c.set_output(2, index, {e.images, m});
    c.set_output(3, index, {e.images});
    c.set_output(4, index, {e.images, m});
  }
}

Status infer(InferContext& c) {
  FOVEA_TRY(check_boxes(c));
  FOVEA_TRY_SET(Extents extents, check_scores(c));
  FOVEA_TRY(check_group(c, extents));
  FOVEA_TRY(check_scalar(c, nms_input::kMaxPerGroup, true));
  FOVEA_TRY(check_scalar(c, nms_input::kIouThreshold, false));
  FOVEA_TRY(check_scalar(c, nms_input::kScoreThreshold, false));
  FOVEA_TRY(check_attributes(c, extents));
  const bool indices =
      c.attrs<NmsAttrs>().output == NmsOutput::kIndices || c.attrs<NmsAttrs>().output == NmsOutput::kIndicesByScore;
  if (indices && c.output_count() > 2)
    return c.error(fmt::format("output = indices has 2 outputs at most, found {}", c.output_count()));
  set_outputs(c, extents);
  return {};
}

constexpr std::string_view kBoxForms[] = {"xyxy", "yxyx", "any_diagonal", "centre", "xywh"};
constexpr std::string_view kCandidates[] = {"per_class", "argmax", "top_m"};
constexpr std::string_view kGroups[] = {"class", "explicit", "none"};
constexpr std::string_view kCompares[] = {"gt", "ge"};
constexpr std::string_view kScopes[] = {"group", "image"};
constexpr std::string_view kOutputs[] = {"indices", "indices_by_score", "padded", "detections"};
constexpr std::string_view kFills[] = {"zero", "minus_one"};

}  // namespace

std::span<const std::string_view> enum_names(NmsBoxForm) { return kBoxForms; }
std::span<const std::string_view> enum_names(NmsCandidates) { return kCandidates; }
std::span<const std::string_view> enum_names(NmsGroup) { return kGroups; }
std::span<const std::string_view> enum_names(NmsCompare) { return kCompares; }
std::span<const std::string_view> enum_names(NmsScope) { return kScopes; }
std::span<const std::string_view> enum_names(NmsOutput) { return kOutputs; }
std::span<const std::string_view> enum_names(NmsFill) { return kFills; }

const OpDef op_Nms = {
    .info = {.name = "Nms",
             .min_inputs = 2,
             .max_inputs = 6,
             .min_outputs = 1,
             .max_outputs = 5,
             .attrs = attrs_codec<NmsAttrs>(),
             .infer = infer},
};

}  // namespace fovea::core
