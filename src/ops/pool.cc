// MaxPool, AveragePool, LpPool: the largest element, the mean or the p-norm of each window.
#include "ops/pool.h"

#include "ops/op.h"

namespace fovea::core {
namespace {

Shape kernel_dims(const PoolAttrs& attrs) { return Shape(attrs.kernel_shape.begin(), attrs.kernel_shape.end()); }

Status infer_pool(InferContext& c, const PoolAttrs& attrs) {
  if (c.rank(0) < 3)
    return c.error(fmt::format("input 0: expected [n, c, spatial...], found {}", to_string(c.shape(0))));
  const size_t spatial = c.shape(0).size() - 2;
  FOVEA_TRY(check_window(attrs, spatial).in(c.node().label()));
  FOVEA_TRY(check_extents("kernel_shape", attrs.kernel_shape, spatial, 1).in(c.node().label()));
  Shape y = {c.shape(0)[0], c.shape(0)[1]};
  for (size_t i = 0; i < spatial; ++i) {
    y.push_back(window_output(attrs, attrs.ceil_mode, i, c.shape(0)[i + 2], attrs.kernel_shape[i]));
    if (y.back().hi() < 0 || y.back().is_const(0))
      return c.error(fmt::format("a window of [{}] does not fit into the input {} along spatial axis {}",
                                 fmt::join(attrs.kernel_shape, ","), to_string(c.shape(0)), i));
  }
  c.set_output(0, c.dtype(0), y);
  c.set_output(1, DType::kInt64, std::move(y));
  return {};
}

Status infer_max(InferContext& c) {
  const auto& attrs = c.attrs<MaxPoolAttrs>();
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  if (attrs.storage_order != 0 && attrs.storage_order != 1)
    return c.error(fmt::format("attribute 'storage_order': expected 0 or 1, found {}", attrs.storage_order));
  return infer_pool(c, attrs);
}
Status infer_average(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)), "a floating-point type"));
  return infer_pool(c, c.attrs<AveragePoolAttrs>());
}
Status infer_lp(InferContext& c) {
  const auto& attrs = c.attrs<LpPoolAttrs>();
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)), "a floating-point type"));
  if (attrs.p < 1) return c.error(fmt::format("attribute 'p': expected at least 1, found {}", attrs.p));
  return infer_pool(c, attrs);
}

template <typename Attrs>
Status import_pool(ImportContext& c) {
  FOVEA_TRY_SET(Attrs attrs, c.read<Attrs>());
  if (!c.input(0)) return c.error("input 0 is missing");
  const Shape& x = c.input(0)->shape;
  const size_t spatial = attrs.kernel_shape.size();
  if (spatial == 0 || x.size() != spatial + 2)
    return c.error(
        fmt::format("kernel_shape [{}] does not fit the input {}", fmt::join(attrs.kernel_shape, ","), to_string(x)));
  // With auto_pad ONNX's sizes are those of rounding down.
  if (attrs.auto_pad != AutoPad::kNotSet) attrs.ceil_mode = false;
  complete_window(attrs, spatial, std::span(x).subspan(2), kernel_dims(attrs));
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(std::move(attrs)), {c.input(0)}, static_cast<int>(c.output_count())));
  for (size_t i = 0; i < c.output_count(); ++i) c.set_output(i, node->outputs[i]);
  return {};
}

}  // namespace

Result<Windows> pool_windows(const PoolAttrs& attrs, std::span<const int64_t> x) {
  if (x.size() != attrs.kernel_shape.size() + 2)
    return internal_error("pool of rank {} with a window of {} axes", x.size(), attrs.kernel_shape.size());
  Windows windows;
  windows.spatial = static_cast<int>(attrs.kernel_shape.size());
  for (int i = 0; i < windows.spatial; ++i) {
    windows.axis(i).in = x[static_cast<size_t>(i) + 2];
    windows.axis(i).kernel = attrs.kernel_shape[static_cast<size_t>(i)];
  }
  FOVEA_TRY(place_windows(attrs, attrs.ceil_mode, windows));
  return windows;
}

const OpDef op_MaxPool = {
    .info = {.name = "MaxPool", .max_outputs = 2, .attrs = attrs_codec<MaxPoolAttrs>(), .infer = infer_max},
    .onnx = {"MaxPool"},
    .import = import_pool<MaxPoolAttrs>,
};
const OpDef op_AveragePool = {
    .info = {.name = "AveragePool", .attrs = attrs_codec<AveragePoolAttrs>(), .infer = infer_average},
    .onnx = {"AveragePool"},
    .import = import_pool<AveragePoolAttrs>,
};
const OpDef op_LpPool = {
    .info = {.name = "LpPool", .attrs = attrs_codec<LpPoolAttrs>(), .infer = infer_lp},
    .onnx = {"LpPool"},
    .import = import_pool<LpPoolAttrs>,
};

}  // namespace fovea::core
