// Reductions over axes: sum, mean, largest, smallest, product, norms, logarithms of sums. Also ONNX's global pools.
#include "ops/reduce.h"

#include <numeric>

#include "ops/layout.h"
#include "ops/op.h"

namespace fovea::core {
namespace {

bool reduced(const ReduceAttrs& attrs, size_t axis) {
  return std::find(attrs.axes.begin(), attrs.axes.end(), static_cast<int64_t>(axis)) != attrs.axes.end();
}

Status set_shape(InferContext& c) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  const Shape& x = c.shape(0);
  for (size_t i = 0; i < attrs.axes.size(); ++i)
    if (attrs.axes[i] < 0 || attrs.axes[i] >= c.rank(0) || (i > 0 && attrs.axes[i] <= attrs.axes[i - 1]))
      return c.error(fmt::format("axes [{}] of an input of rank {}", fmt::join(attrs.axes, ","), x.size()));
  Shape y;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!reduced(attrs, i)) y.push_back(x[i]);
    else if (attrs.keepdims) y.push_back(1);
  }
  c.set_output(0, c.dtype(0), std::move(y));
  return {};
}

using Combine = std::optional<Expr> (*)(const Expr&, const Expr&);

// Known elements combined in row-major order; an empty reduction is left to the kernel.
void propagate_known(InferContext& c, Combine combine) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  KnownTensor x = known_tensor(c, 0);
  if (!x || c.dtype(0) == DType::kInt32 || x.values->empty()) return;
  size_t count = 1;
  for (size_t d = 0; d < x.dims.size(); ++d)
    if (!reduced(attrs, d)) count *= static_cast<size_t>(x.dims[d]);
  std::vector<std::optional<Expr>> y(count);
  std::vector<bool> begun(count, false);
  for (size_t i = 0; i < x.values->size(); ++i) {
    size_t rest = i, to = 0, stride = 1;
    for (size_t d = x.dims.size(); d-- > 0;) {
      const auto size = static_cast<size_t>(x.dims[d]);
      if (!reduced(attrs, d)) to += rest % size * stride, stride *= size;
      rest /= size;
    }
    const auto& e = (*x.values)[i];
    if (!begun[to]) y[to] = e;
    else y[to] = e && y[to] ? combine(*y[to], *e) : std::nullopt;
    begun[to] = true;
  }
  c.set_known(0, std::move(y));
}

template <Combine combine>
Status infer_known(InferContext& c) {
  const DType t = c.dtype(0);
  FOVEA_TRY(c.expect_dtype(0, is_float(t) || is_integer(t) || t == DType::kBool, "a number type or bool"));
  FOVEA_TRY(set_shape(c));
  propagate_known(c, combine);
  return {};
}

Status infer_number(InferContext& c) {
  FOVEA_TRY(c.expect_dtype(0, is_float(c.dtype(0)) || is_integer(c.dtype(0)), "a number type"));
  return set_shape(c);
}

// Sums and products of floats round once in the kernel: their expressions would round at every step.
std::optional<Expr> add(const Expr& a, const Expr& b) {
  return a.dtype() == DType::kInt64 ? std::optional(a + b) : std::nullopt;
}
std::optional<Expr> multiply(const Expr& a, const Expr& b) {
  return a.dtype() == DType::kInt64 ? std::optional(a * b) : std::nullopt;
}
std::optional<Expr> larger(const Expr& a, const Expr& b) {
  if (a.dtype() == DType::kBool) return logical_or(a, b);
  return a.dtype() == DType::kInt64 ? max(a, b) : float_op(ExprOp::kFMax, {a, b});
}
std::optional<Expr> smaller(const Expr& a, const Expr& b) {
  if (a.dtype() == DType::kBool) return logical_and(a, b);
  return a.dtype() == DType::kInt64 ? min(a, b) : float_op(ExprOp::kFMin, {a, b});
}

Status import(ImportContext& c) {
  if (!c.input(0)) return c.error("input 0 is missing");
  FOVEA_TRY(only_attributes(c, {"axes", "keepdims", "noop_with_empty_axes"}));
  ReduceAttrs attrs;
  attrs.keepdims = c.int_attr("keepdims", 1) != 0;
  const auto rank = static_cast<int64_t>(c.input(0)->shape.size());
  FOVEA_TRY_SET(auto given, axes_attr_or_input(c, 1));
  FOVEA_TRY_SET(attrs.axes, normal_axes(c, given.value_or(std::vector<int64_t>{}), rank));
  std::sort(attrs.axes.begin(), attrs.axes.end());
  if (attrs.axes.empty() && c.int_attr("noop_with_empty_axes", 0) == 0) {
    attrs.axes.resize(static_cast<size_t>(rank));
    std::iota(attrs.axes.begin(), attrs.axes.end(), 0);
  }
  FOVEA_TRY_SET(Node * node, c.emit(make_attrs(std::move(attrs)), {c.input(0)}));
  c.set_output(0, node->output());
  return {};
}

// A pool over all of the spatial axes is a reduction.
Status import_global(ImportContext& c, const OpDef& op) {
  if (!c.input(0) || c.input(0)->shape.size() < 3) return c.error("expected an input [n, c, spatial...]");
  ReduceAttrs attrs;
  attrs.axes.resize(c.input(0)->shape.size() - 2);
  std::iota(attrs.axes.begin(), attrs.axes.end(), 2);
  FOVEA_TRY_SET(Node * node, c.emit(op, make_attrs(std::move(attrs)), {c.input(0)}));
  c.set_output(0, node->output());
  return {};
}
Status import_global_average(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {}));
  return import_global(c, op_ReduceMean);
}
Status import_global_max(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {}));
  return import_global(c, op_ReduceMax);
}
Status import_global_lp(ImportContext& c) {
  FOVEA_TRY(only_attributes(c, {"p"}));
  const int64_t p = c.int_attr("p", 2);
  if (p != 1 && p != 2) return c.unsupported(fmt::format("attribute 'p' is {}; 1 and 2 are supported", p));
  return import_global(c, p == 1 ? op_ReduceL1 : op_ReduceL2);
}

}  // namespace

const OpDef op_ReduceL1 = {
    .info = {.name = "ReduceL1", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_number},
    .onnx = {"ReduceL1"},
    .import = import,
};
const OpDef op_ReduceL2 = {
    .info = {.name = "ReduceL2", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_number},
    .onnx = {"ReduceL2"},
    .import = import,
};
const OpDef op_ReduceLogSum = {
    .info = {.name = "ReduceLogSum", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_number},
    .onnx = {"ReduceLogSum"},
    .import = import,
};
const OpDef op_ReduceLogSumExp = {
    .info = {.name = "ReduceLogSumExp", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_number},
    .onnx = {"ReduceLogSumExp"},
    .import = import,
};
const OpDef op_ReduceMax = {
    .info = {.name = "ReduceMax", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_known<larger>},
    .onnx = {"ReduceMax"},
    .import = import,
};
const OpDef op_ReduceMean = {
    .info = {.name = "ReduceMean", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_number},
    .onnx = {"ReduceMean"},
    .import = import,
};
const OpDef op_ReduceMin = {
    .info = {.name = "ReduceMin", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_known<smaller>},
    .onnx = {"ReduceMin"},
    .import = import,
};
const OpDef op_ReduceProd = {
    .info = {.name = "ReduceProd", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_known<multiply>},
    .onnx = {"ReduceProd"},
    .import = import,
};
const OpDef op_ReduceSum = {
    .info = {.name = "ReduceSum", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_known<add>},
    .onnx = {"ReduceSum"},
    .import = import,
};
const OpDef op_ReduceSumSquare = {
    .info = {.name = "ReduceSumSquare", .attrs = attrs_codec<ReduceAttrs>(), .infer = infer_number},
    .onnx = {"ReduceSumSquare"},
    .import = import,
};

const OpDef op_GlobalAveragePool = {
    .info = {.name = "GlobalAveragePool"}, .onnx = {"GlobalAveragePool"}, .import = import_global_average};
const OpDef op_GlobalLpPool = {.info = {.name = "GlobalLpPool"}, .onnx = {"GlobalLpPool"}, .import = import_global_lp};
const OpDef op_GlobalMaxPool = {
    .info = {.name = "GlobalMaxPool"}, .onnx = {"GlobalMaxPool"}, .import = import_global_max};

}  // namespace fovea::core
