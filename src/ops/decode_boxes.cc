// DecodeBoxes: what a head predicts, relative to anchors, becomes corners.
//
//   deltas  [B,N,4], [N,4] or [B,N,C,4] (R-CNN: a box for each class)
//   anchors [N,4], or [B,N,4] where they are proposals of the network itself
//   size    [2] or [B,2], optional: height and width to clip to
//
//   t = deltas * variances / scales
//   x = t_x * anchor_w + anchor_x, likewise y;   w = exp(min(t_w, max_log_size)) * anchor_w, likewise h
//   corners x - w/2, y - h/2, x + w/2, y + h/2
//
// in float32 whatever the types of the inputs (float64 for float64), rounded once to the type of the deltas. NaN stays
// NaN, clipped or not.
//
//   SSD, MXNet MultiBoxDetection   deltas xywh, variances .1 .1 .2 .2, anchors centre (MXNet: xyxy)
//   TorchVision BoxCoder           deltas xywh, scales 10 10 5 5 or 1 1 1 1, anchors xyxy, max_log_size log(1000/16)
//   TFLite DetectionPostprocess    deltas yxhw, scales 10 10 5 5, anchors yx_centre, output yxyx
#include "ops/decode_boxes.h"

#include "ops/op.h"

namespace fovea::core {
namespace {

Status check_four(InferContext& c, size_t i, std::initializer_list<int64_t> ranks) {
  FOVEA_TRY(c.expect_dtype(i, is_float(c.dtype(i)), "a floating-point type"));
  const Shape& shape = c.shape(i);
  const bool rank = std::find(ranks.begin(), ranks.end(), c.rank(i)) != ranks.end();
  if (!rank || (shape.back().is_const() && !shape.back().is_const(4)))
    return c.error(fmt::format("input {}: expected rank {} with 4 numbers a box, found {}", i, fmt::join(ranks, " or "),
                               to_string(shape)));
  return {};
}

Status check_factors(InferContext& c, const std::vector<double>& factors, std::string_view name) {
  const bool finite = std::all_of(factors.begin(), factors.end(), [](double v) { return v != 0 && v - v == 0; });
  if ((factors.empty() || factors.size() == 4) && finite) return {};
  return c.error(fmt::format("{}: expected four numbers other than 0, found [{}]", name, fmt::join(factors, ", ")));
}

bool differ(const Dim& a, const Dim& b) { return a.is_const() && b.is_const() && !(a == b); }

Status check_anchors(InferContext& c) {
  const Shape &deltas = c.shape(0), &anchors = c.shape(1);
  const size_t boxes = deltas.size() == 2 ? 0 : 1;
  const bool batched = anchors.size() == 3;
  if ((batched && boxes == 0) || differ(deltas[boxes], anchors[anchors.size() - 2]) ||
      (batched && differ(deltas[0], anchors[0])))
    return c.error(
        fmt::format("deltas {} and anchors {} do not belong together", to_string(deltas), to_string(anchors)));
  return {};
}

Status check_size(InferContext& c) {
  if (!c.has(2)) return {};
  FOVEA_TRY(c.expect_dtype(2, is_float(c.dtype(2)) || is_integer(c.dtype(2)), "a number type"));
  const Shape& size = c.shape(2);
  const bool fits = (size.size() == 1 || (size.size() == 2 && c.rank(0) > 2 && !differ(size[0], c.shape(0)[0]))) &&
                    !differ(size.back(), 2);
  return fits ? Status()
              : c.error(fmt::format("size: expected height and width, [2] or [B,2], found {}", to_string(size)));
}

Status infer(InferContext& c) {
  const DecodeBoxesAttrs& a = c.attrs<DecodeBoxesAttrs>();
  FOVEA_TRY(check_four(c, 0, {2, 3, 4}));
  FOVEA_TRY(check_four(c, 1, {2, 3}));
  FOVEA_TRY(check_anchors(c));
  FOVEA_TRY(check_size(c));
  FOVEA_TRY(check_factors(c, a.variances, "variances"));
  FOVEA_TRY(check_factors(c, a.scales, "scales"));
  if (!(a.max_log_size >= 0)) return c.error(fmt::format("max_log_size: expected 0 or more, found {}", a.max_log_size));
  if (!(a.clip_height >= 0 && a.clip_width >= 0))
    return c.error(fmt::format("clip to {} x {}", a.clip_height, a.clip_width));
  c.set_output(0, c.dtype(0), c.shape(0));
  return {};
}

constexpr std::string_view kDeltas[] = {"xywh", "yxhw"};
constexpr std::string_view kAnchors[] = {"centre", "yx_centre", "xyxy"};
constexpr std::string_view kCorners[] = {"xyxy", "yxyx"};

}  // namespace

std::span<const std::string_view> enum_names(DeltaOrder) { return kDeltas; }
std::span<const std::string_view> enum_names(AnchorForm) { return kAnchors; }
std::span<const std::string_view> enum_names(CornerOrder) { return kCorners; }

const OpDef op_DecodeBoxes = {
    .info = {.name = "DecodeBoxes",
             .min_inputs = 2,
             .max_inputs = 3,
             .attrs = attrs_codec<DecodeBoxesAttrs>(),
             .infer = infer},
};

}  // namespace fovea::core
