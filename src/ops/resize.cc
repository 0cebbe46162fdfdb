// Resize: samples the input on another grid along some axes. Upsample is its predecessor.
//
// Sizes and coordinates are computed in float32, as ONNX Runtime does: in exact arithmetic one in a thousand of the
// sizes that scales give would be another.
#include "ops/resize.h"

#include <cmath>
#include <numeric>

#include "ops/layout.h"
#include "ops/tensors.h"

namespace fovea::core {
namespace {

constexpr DType kF32 = DType::kFloat32;
constexpr int64_t kMaxSize = int64_t{1} << 40;

// floor(size * scale) in float32; in integers where that is the same.
Dim scaled_size(const Dim& size, const Expr& scale) {
  if (scale.is_const()) {
    const double s = scale.float_value();
    if (s == 1) return size;
    const bool exact = size.hi() <= (int64_t{1} << 24);  // a float32 holds every size and product
    if (exact && s > 1 && s == std::floor(s) && static_cast<double>(size.hi()) * s <= (1 << 24))
      return size * Dim(static_cast<int64_t>(s));
    int exponent = 0;
    if (exact && s < 1 && s > 1e-6 && std::frexp(s, &exponent) == 0.5)
      return floor_div(size, Dim(int64_t{1} << (1 - exponent)));
  }
  const Dim scaled = cast(float_op(ExprOp::kFloor, {float_op(ExprOp::kMul, {scale, cast(size, kF32)})}), DType::kInt64);
  // Floating-point expressions carry no bounds; the plan needs some.
  const double most = scale.is_const() ? scale.float_value() * static_cast<double>(size.hi()) * 1.000001 + 1
                                       : static_cast<double>(kUnbounded);
  return min(max(scaled, 0), static_cast<int64_t>(std::min(most, static_cast<double>(kUnbounded))));
}

// Sizes under a policy that keeps the aspect ratio: round(scale * in), the scale being the least or the largest of all
// axes.
std::vector<Dim> keep_aspect(const std::vector<Dim>& sizes, const std::vector<Dim>& in, ResizeAspect policy) {
  const ExprOp choose = policy == ResizeAspect::kNotLarger ? ExprOp::kFMin : ExprOp::kFMax;
  std::optional<Expr> scale;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const Expr s = float_op(ExprOp::kDiv, {cast(sizes[i], kF32), cast(in[i], kF32)});
    scale = scale ? float_op(choose, {*scale, s}) : s;
  }
  std::vector<Dim> out;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const Expr exact =
        float_op(ExprOp::kAdd, {float_op(ExprOp::kMul, {*scale, cast(in[i], kF32)}), Expr::floating(kF32, 0.5)});
    const Dim rounded = max(cast(float_op(ExprOp::kFloor, {exact}), DType::kInt64), 0);
    out.push_back(policy == ResizeAspect::kNotLarger ? min(rounded, sizes[i]) : rounded);
  }
  return out;
}

Status check_numbers(InferContext& c, size_t i, DType type, size_t count) {
  FOVEA_TRY(c.expect_dtype(i, c.dtype(i) == type, to_string(type)));
  FOVEA_TRY(c.expect_rank(i, 1));
  const Dim& size = c.shape(i)[0];
  if (size.is_const() && size.int_value() != static_cast<int64_t>(count))
    return c.error(fmt::format("input {}: expected {} values, found {}", i, count, size.str()));
  return {};
}

Status check(InferContext& c) {
  const auto& attrs = c.attrs<ResizeAttrs>();
  FOVEA_TRY(refuse_strings(c, 0));
  std::vector<bool> seen(c.shape(0).size());
  for (int64_t axis : attrs.axes) {
    if (axis < 0 || axis >= c.rank(0) || seen[static_cast<size_t>(axis)])
      return c.error(fmt::format("axes [{}] of an input of rank {}", fmt::join(attrs.axes, ","), c.rank(0)));
    seen[static_cast<size_t>(axis)] = true;
  }
  if (c.has(2) == c.has(3)) return c.error("expected either scales or sizes");
  if (c.has(2)) FOVEA_TRY(check_numbers(c, 2, kF32, attrs.axes.size()));
  else FOVEA_TRY(check_numbers(c, 3, DType::kInt64, attrs.axes.size()));
  if (attrs.coordinate_transformation_mode == ResizeCoordinates::kTfCropAndResize) {
    if (!c.has(1)) return c.error("tf_crop_and_resize without a roi");
    FOVEA_TRY(c.expect_dtype(1, is_float(c.dtype(1)), "a floating-point type"));
    FOVEA_TRY(c.expect_rank(1, 1));
  }
  if (attrs.antialias && attrs.mode == ResizeInterpolation::kNearest) return c.error("antialias with mode nearest");
  return {};
}

Status infer(InferContext& c) {
  FOVEA_TRY(check(c));
  const auto& attrs = c.attrs<ResizeAttrs>();
  const size_t given = c.has(2) ? 2 : 3, count = attrs.axes.size();
  SymValuePtr known = c.known(given);
  const bool sized = known && known->size() == count;
  Shape y = c.shape(0);
  auto at = [&](size_t i) -> Dim& { return y[static_cast<size_t>(attrs.axes[i])]; };
  auto unknown = [&](size_t i) { return c.data_dependent_size(0, static_cast<int>(attrs.axes[i]), 0, kUnbounded); };
  if (given == 3 && attrs.keep_aspect_ratio_policy != ResizeAspect::kStretch) {
    std::vector<Dim> sizes, in;
    for (size_t i = 0; sized && i < count; ++i)
      if ((*known)[i]) sizes.push_back(*(*known)[i]), in.push_back(at(i));
    if (sizes.size() == count) sizes = keep_aspect(sizes, in, attrs.keep_aspect_ratio_policy);
    for (size_t i = 0; i < count; ++i) at(i) = sizes.size() == count ? sizes[i] : unknown(i);
  } else {
    for (size_t i = 0; i < count; ++i) {
      if (!sized || !(*known)[i]) {
        at(i) = unknown(i);
        continue;
      }
      const Expr& e = *(*known)[i];
      if (given == 3) {
        FOVEA_TRY_SET(at(i), as_size(c, e, "a size"));
        continue;
      }
      if (e.is_const() && !(e.float_value() > 0 && e.float_value() < 1e9))
        return c.error(fmt::format("a scale of {}", e.str()));
      at(i) = scaled_size(at(i), e);
    }
  }
  c.set_output(0, c.dtype(0), std::move(y));
  return {};
}

// An optional input that is there but empty is not there.
Value* unless_empty(Value* v) { return v && v->shape.size() == 1 && v->shape[0].is_const(0) ? nullptr : v; }

std::vector<int64_t> all_axes(const Value* x) {
  std::vector<int64_t> axes(x->shape.size());
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

Status import(ImportContext& c) {
  FOVEA_TRY_SET(ResizeAttrs attrs, c.read<ResizeAttrs>());
  Value* x = c.input(0);
  if (!x) return c.error("input 0 is missing");
  const auto rank = static_cast<int64_t>(x->shape.size());
  if (attrs.axes.empty()) attrs.axes = all_axes(x);
  FOVEA_TRY_SET(attrs.axes, normal_axes(c, attrs.axes, rank));
  if (c.opset() < 11) {  // only scales, and rounding down
    attrs.coordinate_transformation_mode = ResizeCoordinates::kAsymmetric;
    attrs.nearest_mode = ResizeNearest::kFloor;
    return emit_one(c, op_Resize, make_attrs(std::move(attrs)), {x, nullptr, c.input(1)});
  }
  Value* roi =
      attrs.coordinate_transformation_mode == ResizeCoordinates::kTfCropAndResize ? unless_empty(c.input(1)) : nullptr;
  Value *scales = unless_empty(c.input(2)), *sizes = unless_empty(c.input(3));
  if (sizes) scales = nullptr;
  return emit_one(c, op_Resize, make_attrs(std::move(attrs)), {x, roi, scales, sizes});
}

Status import_upsample(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"mode", "scales"}));
  Value* x = c.input(0);
  if (!x) return c.error("input 0 is missing");
  ResizeAttrs attrs{.coordinate_transformation_mode = ResizeCoordinates::kAsymmetric,
                    .nearest_mode = ResizeNearest::kFloor,
                    .axes = all_axes(x)};
  const std::string mode = c.string_attr("mode", "nearest");
  if (mode != "nearest" && mode != "linear")
    return c.error(fmt::format("attribute 'mode': expected nearest or linear, found '{}'", mode));
  if (mode == "linear") attrs.mode = ResizeInterpolation::kLinear;
  Value* scales = c.input(1);
  if (!scales && c.has("scales")) {
    const std::vector<double> values = c.floats_attr("scales");
    const std::vector<float> narrow(values.begin(), values.end());
    scales = c.constant(Tensor::of<float>({static_cast<int64_t>(narrow.size())}, std::span<const float>(narrow)));
  }
  if (!scales) return c.error("scales are missing");
  return emit_one(c, op_Resize, make_attrs(std::move(attrs)), {x, nullptr, scales});
}

// The output's size for given sizes and scales.
bool set_sizes(const ResizeAttrs& attrs, std::span<const float> scales, std::span<const int64_t> sizes,
               std::span<ResizeAxis> axes) {
  const size_t count = attrs.axes.size();
  auto axis = [&](size_t i) -> ResizeAxis& { return axes[static_cast<size_t>(attrs.axes[i])]; };
  if (!scales.empty()) {
    for (size_t i = 0; i < count; ++i) {
      const float size = scales[i] * static_cast<float>(axis(i).in);
      if (!(scales[i] > 0) || !(size < static_cast<float>(kMaxSize))) return false;
      axis(i).scale = scales[i], axis(i).out = static_cast<int64_t>(std::floor(size));
    }
    return scales.size() == count;
  }
  if (sizes.size() != count) return false;
  std::optional<float> common;
  for (size_t i = 0; i < count; ++i) {
    ResizeAxis& a = axis(i);
    if (sizes[i] < 0 || sizes[i] > kMaxSize || (a.in == 0 && sizes[i] != 0)) return false;
    a.out = sizes[i];
    a.scale = a.in == 0 ? 1 : static_cast<float>(a.out) / static_cast<float>(a.in);
    common = !common                                                      ? a.scale
             : attrs.keep_aspect_ratio_policy == ResizeAspect::kNotLarger ? std::min(*common, a.scale)
                                                                          : std::max(*common, a.scale);
  }
  if (attrs.keep_aspect_ratio_policy == ResizeAspect::kStretch) return true;
  for (size_t i = 0; i < count; ++i) {
    ResizeAxis& a = axis(i);
    const float size = std::floor(*common * static_cast<float>(a.in) + 0.5f);
    if (!(size < static_cast<float>(kMaxSize))) return false;
    a.scale = *common;
    const auto rounded = static_cast<int64_t>(size);
    a.out = attrs.keep_aspect_ratio_policy == ResizeAspect::kNotLarger ? std::min(rounded, a.out) : rounded;
  }
  return true;
}

}  // namespace

bool resize_axes(const ResizeAttrs& attrs, std::span<const int64_t> x, std::span<const float> roi,
                 std::span<const float> scales, std::span<const int64_t> sizes, std::span<ResizeAxis> axes) {
  if (axes.size() != x.size() || scales.size() + sizes.size() != attrs.axes.size()) return false;
  for (size_t i = 0; i < x.size(); ++i) axes[i] = {.in = x[i], .out = x[i]};
  const size_t count = attrs.axes.size();
  if (count > 0 && !set_sizes(attrs, scales, sizes, axes)) return false;
  if (attrs.coordinate_transformation_mode != ResizeCoordinates::kTfCropAndResize) return true;
  if (roi.size() != 2 * count) return false;
  for (size_t i = 0; i < count; ++i) {
    ResizeAxis& a = axes[static_cast<size_t>(attrs.axes[i])];
    a.roi_begin = roi[i], a.roi_end = roi[i + count];
  }
  return true;
}

const OpDef op_Resize = {
    .info = {.name = "Resize",
             .min_inputs = 1,
             .max_inputs = 4,
             .attrs = attrs_codec<ResizeAttrs>(),
             .infer = infer,
             .reads_values = true},
    .onnx = {"Resize"},
    .import = import,
};
const OpDef op_Upsample = {.info = {.name = "Upsample"}, .onnx = {"Upsample"}, .import = import_upsample};

}  // namespace fovea::core
